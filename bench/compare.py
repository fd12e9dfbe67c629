"""Whether a build is slower than another one, or the machine only noisy.

The rule, for each reading that both files have of the hub: it is slower if its median is
worse by more than 5%, and a Mann-Whitney test (two-sided, exact for few values) says that
values so different come from one and the same build less than once in fifty times. Five
repetitions of each are the fewest that can show this. With fewer, all new values must be worse
than all old ones, and the median by more than 20%. Faster is the same the other way round.

The bare C loop is the control. What is found must be found of the hub's values in proportion to the
control's of the same repetition, too, though there one in ten will do; otherwise it may be the
machine that has changed, and nothing is said of the build. With a spread of 3%, a build that is
slower by 10% is found four times out of five, and one that is not is blamed once in a thousand.
Compare runs of one machine only, and repeat what is found slower.
"""

import itertools
import math
import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .results import Results, Series
from .table import NOT_OURS, OURS, number

EFFECT = 0.05
LARGE_EFFECT = 0.2
CONTROL = "C loop"
CHANCE = 0.02
CHANCE_BESIDE_CONTROL = 0.1
ENOUGH = 5
EXACT = 8
"""Up to so many values each, all arrangements are counted."""

WORDS = {
    "slower": Text("slower", "red"),
    "faster": Text("faster", "green"),
    "machine": Text("it may be the machine", "yellow"),
    "same": Text(),
}


def chance(old: Sequence[float], new: Sequence[float]) -> float:
    """Return the two-sided probability of the Mann-Whitney test."""
    pooled = sorted([*old, *new])
    ranks = {
        value: statistics.fmean(i + 1 for i, each in enumerate(pooled) if each == value)
        for value in set(pooled)
    }
    middle = len(old) * (len(pooled) + 1) / 2
    off = abs(sum(ranks[value] for value in old) - middle)
    if max(len(old), len(new)) <= EXACT:
        sums = [
            sum(chosen) for chosen in itertools.combinations([ranks[v] for v in pooled], len(old))
        ]
        return sum(abs(each - middle) >= off - 1e-9 for each in sums) / len(sums)
    ties = sum(n**3 - n for n in (pooled.count(value) for value in ranks))
    total = len(pooled)
    variance = len(old) * len(new) / 12 * (total + 1 - ties / (total * (total - 1)))
    if not variance:
        return 1.0
    return math.erfc(max(0.0, off - 0.5) / math.sqrt(2 * variance))


def verdict(
    old: Sequence[float], new: Sequence[float], *, lower_is_better: bool, limit: float = CHANCE
) -> str:
    """Return ``slower``, ``faster`` or ``same``."""
    before, after = statistics.median(old), statistics.median(new)
    if not before or not after:
        return (
            "same"
            if before == after
            else "slower"
            if (after > before) == lower_is_better
            else "faster"
        )
    worse = after / before if lower_is_better else before / after
    if min(len(old), len(new)) >= ENOUGH:
        sure, effect = chance(old, new) < limit, EFFECT
    else:
        sure, effect = max(old) < min(new) or max(new) < min(old), LARGE_EFFECT
    if not sure or 1 / (1 + effect) <= worse <= 1 + effect:
        return "same"
    return "slower" if worse > 1 else "faster"


def _judge(contender: str, old: Series, new: Series) -> str:
    less = new.lower_is_better
    found = verdict(old.values[contender], new.values[contender], lower_is_better=less)
    before, after = _beside_control(contender, old), _beside_control(contender, new)
    if found == "same" or not before or not after:
        return found
    beside = verdict(before, after, lower_is_better=less, limit=CHANCE_BESIDE_CONTROL)
    return found if beside == found else "machine"


def _beside_control(contender: str, series: Series) -> list[float]:
    control = series.values.get(CONTROL, [])
    return [a / b for a, b in zip(series.values[contender], control, strict=False) if b]


def _check(old: Results, new: Results) -> None:
    if old.answers.keys().isdisjoint(new.answers):
        raise ValueError("the two files have no question in common")
    for name in ("processor", "interpreter", "size"):
        before, after = old.machine.get(name), new.machine.get(name)
        if before != after:
            raise ValueError(f"nothing can be said of the builds: {before}, and then {after}")


def compare(console: Console, old: Results, new: Results) -> bool:
    """Print all readings that both have; return whether any is slower.

    Raises:
        ValueError: they have no question in common, or are of two machines, interpreters or sizes.
    """
    _check(old, new)
    table = Table(title=f"{old.machine['commit']} and {new.machine['commit']}")
    for head in ("", "old", "new", "unit", "new / old", ""):
        table.add_column(head, justify="left" if head in ("", "unit") else "right")
    slower = False
    for name, answer in new.answers.items():
        if name not in old.answers:
            continue
        for what, series in answer.series.items():
            known = old.answers[name].series.get(what)
            if known is None or NOT_OURS in what:
                continue
            for contender in (c for c in series.values if c.startswith(OURS)):
                before, after = known.values.get(contender), series.values[contender]
                if not before:
                    continue
                found = _judge(contender, known, series)
                slower |= found == "slower"
                a, b = statistics.median(before), statistics.median(after)
                table.add_row(
                    f"{name}: {what}" + contender.removeprefix(OURS),
                    number(a),
                    number(b),
                    series.unit,
                    f"{b / a:.2f}" if a else "",
                    WORDS[found],
                )
    console.print(table)
    return slower
