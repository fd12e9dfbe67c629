"""The results of a run, and their file: with the machine, the versions and the commit."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from hdrh.histogram import HdrHistogram

from .figures import Sample

FORMAT = 1


@attrs.define
class Series:
    """One reading of a question: the values of everybody's repetitions."""

    name: str
    unit: str
    lower_is_better: bool
    values: dict[str, list[float]] = attrs.Factory(dict)


@attrs.define
class Answer:
    """What a question came to."""

    about: str
    series: dict[str, Series] = attrs.Factory(dict)
    spectra: dict[str, dict[str, HdrHistogram]] = attrs.Factory(dict)
    """By contender, then by what is distributed: all repetitions together."""
    points: dict[str, list[tuple[float, float]]] = attrs.Factory(dict)
    void: list[tuple[str, str]] = attrs.Factory(list)
    """Who was voided, and why: one for each repetition that gave nothing."""
    skipped: list[str] = attrs.Factory(list)
    """Whose turn did not come, because the time was over."""

    def add(self, contender: str, sample: Sample) -> None:
        """Take up one repetition."""
        for reading in sample.readings:
            series = self.series.setdefault(
                reading.name, Series(reading.name, reading.unit, reading.lower_is_better)
            )
            series.values.setdefault(contender, []).append(reading.value)
        for name, spectrum in sample.spectra.items():
            known = self.spectra.setdefault(contender, {})
            if name in known:
                known[name].add(spectrum)
            else:
                known[name] = spectrum
        if sample.points:
            self.points.setdefault(contender, []).extend(sample.points)


@attrs.define
class Results:
    """All answers of a run, and what they were measured on."""

    machine: dict[str, str]
    answers: dict[str, Answer] = attrs.Factory(dict)
    absent: dict[str, str] = attrs.Factory(dict)
    """The peers that could not be installed, and why."""

    def dumps(self) -> str:
        """Write the file."""
        answers = {}
        for name, answer in self.answers.items():
            written = attrs.asdict(answer, recurse=False)
            written["series"] = [attrs.asdict(series) for series in answer.series.values()]
            written["spectra"] = {
                contender: {what: spectrum.encode().decode() for what, spectrum in known.items()}
                for contender, known in answer.spectra.items()
            }
            answers[name] = written
        whole = {
            "format": FORMAT,
            "machine": self.machine,
            "absent": self.absent,
            "answers": answers,
        }
        return json.dumps(whole, indent=1) + "\n"


def save(results: Results, path: Path) -> None:
    """Write the file, or leave the one that is there as it is. Raises OSError."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(results.dumps())
    unfinished.replace(path)


def loads(text: str) -> Results:
    """Read the file.

    Raises:
        ValueError: it is none.
    """
    whole = json.loads(text)
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise ValueError(f"this is not a file of results in format {FORMAT}")
    return Results(
        whole["machine"],
        {name: _answer(written) for name, written in whole["answers"].items()},
        whole["absent"],
    )


def load(path: Path) -> Results:
    """Read a file of results. Raises OSError, or ValueError naming it."""
    try:
        return loads(path.read_text())
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _answer(written: dict[str, Any]) -> Answer:
    series: Iterable[Series] = (Series(**each) for each in written["series"])
    return Answer(
        written["about"],
        {each.name: each for each in series},
        {
            contender: {what: HdrHistogram.decode(text) for what, text in known.items()}
            for contender, known in written["spectra"].items()
        },
        {
            contender: [(rate, p99) for rate, p99 in points]
            for contender, points in written["points"].items()
        },
        [(contender, why) for contender, why in written["void"]],
        written["skipped"],
    )
