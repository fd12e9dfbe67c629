"""`python -m bench`: questions, one by one or all, and what is done with their results."""

import argparse
import math
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console

from . import compare, growth, install, machine, profile, results, runner, start, table, verdict
from .load import Void
from .scale import QUICK, Scale, full
from .servers import CONTENDERS

QUICK_SECONDS = 95
"""When `quick` stops beginning anything, so that it ends in two minutes."""

# What matters most comes first: on a slow machine there is no time left for the last ones.
QUICK_ORDER = (
    "fanout",
    "notify",
    "join",
    "memory",
    "heartbeat",
    "mixed",
    "stall",
    "ledger",
    "check",
    "verify",
    "verdict",
)

OF_THEIR_OWN = {"verdict", *runner.OF_ITS_OWN}
"""Questions that are not for the usual contenders."""

SAME = (
    "commit",
    "interpreter",
    "versions",
    "processor",
    "system",
    "size",
    "contenders",
    "repetitions",
)
"""What the parts of one run have in common."""

QUICK_ONES = ("sse_trio", "C loop", "websockets+uvloop", "socket.io")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parser().parse_args(arguments)
    # Without markup: what peers and the system say may hold brackets.
    console = Console(width=None if sys.stdout.isatty() else 120, markup=False)
    return int(options.run(console, options))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of sse_trio.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    about = {name: question.ABOUT for name, question in runner.QUESTIONS.items()}
    for name, text in (about | {"verdict": verdict.ABOUT}).items():
        # argparse takes a % for the beginning of a name.
        text = text.replace("%", "%%")
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=_measure, questions=[name])
        _add_options(command, alone=name in OF_THEIR_OWN)
    command = commands.add_parser("all", help="every question, unattended")
    command.set_defaults(run=_measure, questions=[*runner.QUESTIONS, "verdict"])
    _add_options(command)
    command.set_defaults(output=Path("results.json"))
    command.add_argument("--resume", action="store_true", help="keep the answers in the file")
    command = commands.add_parser("growth", help=growth.ABOUT, description=growth.ABOUT)
    command.set_defaults(run=_grow)
    _add_numbers(command, logins=10_000_000, users=1_000_000, weeks=13)
    command = commands.add_parser("start", help=start.ABOUT, description=start.ABOUT)
    command.set_defaults(run=_start)
    _add_numbers(command, rooms=1_000_000, repetitions=3)
    command = commands.add_parser("quick", help="every question, small, in two minutes")
    command.set_defaults(run=_quick, questions=QUICK_ORDER, repetitions=1)
    command.add_argument("--output", type=Path, help="a JSON file for the results")
    command = commands.add_parser("install", help="install the peers; the questions do so too")
    command.set_defaults(run=_install)
    command = commands.add_parser("profile", help="a flame graph of the hub at a question's job")
    command.set_defaults(run=_profile)
    command.add_argument("question", choices=runner.QUESTIONS)
    command.add_argument("--quick", action="store_true", help="small numbers")
    command.add_argument("--output", type=Path, default=Path("profile.svg"), help="(%(default)s)")
    command = commands.add_parser("compare", help="is the new one slower? Exit status 1 if so")
    command.set_defaults(run=_compare)
    command.add_argument("old", type=Path)
    command.add_argument("new", type=Path)
    command = commands.add_parser("plot", help="draw results, as SVG")
    command.set_defaults(run=_plot)
    command.add_argument("results", type=Path)
    command.add_argument("--directory", type=Path, default=Path(), help="(%(default)s)")
    command = commands.add_parser("document", help="put results into benchmarks.md, and draw them")
    command.set_defaults(run=_document)
    command.add_argument("results", type=Path)
    command.add_argument("--directory", type=Path, default=Path("docs"), help="(%(default)s)")
    return made


def _add_numbers(command: argparse.ArgumentParser, **defaults: int) -> None:
    for name, number in defaults.items():
        command.add_argument(
            f"--{name}", type=positive_number, default=number, help="(%(default)s)"
        )


def _add_options(command: argparse.ArgumentParser, *, alone: bool = False) -> None:
    _add_numbers(command, repetitions=runner.REPETITIONS)
    if alone:
        command.set_defaults(only=[])
    else:
        command.add_argument(
            "--only",
            type=contenders,
            default=[name for name, contender in CONTENDERS.items() if contender.is_usual],
            help=f"some contenders, with commas between: {', '.join(CONTENDERS)}",
        )
    command.add_argument("--quick", action="store_true", help="small numbers")
    command.add_argument("--output", type=Path, help="a JSON file for the results")


def positive_number(text: str) -> int:
    """Read it; argparse quotes the name of this function to whom it refuses."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def contenders(text: str) -> list[str]:
    """Read their names, each once."""
    names = list(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in CONTENDERS]:
        raise argparse.ArgumentTypeError(f"no such contender: {', '.join(unknown)}")
    return names


def _measure(console: Console, options: argparse.Namespace) -> int:
    if any(contender.probe for contender in runner.everybody(options.questions, options.only)):
        install.install(console)
    scale = QUICK if options.quick else full()
    return _run(console, options, options.only, scale, math.inf)


def _quick(console: Console, options: argparse.Namespace) -> int:
    # What is not installed is left out: to install it takes longer.
    return _run(console, options, list(QUICK_ONES), QUICK, QUICK_SECONDS)


def _run(
    console: Console,
    options: argparse.Namespace,
    names: list[str],
    scale: Scale,
    seconds: float,
) -> int:
    if options.questions != ["verdict"] and not _compiler(console):
        return 2
    try:
        found = _begin(options, names, scale)
    except (OSError, ValueError) as error:
        console.print(str(error))
        return 2
    status = 0
    began = time.monotonic()
    for name in options.questions:
        if name in found.answers:
            continue
        if name == "verdict":
            calls = verdict.FEW if scale is QUICK else verdict.MANY
            answer = verdict.measure(rounds=options.repetitions, calls=calls)
        else:
            asked = runner.everybody([name], names)
            wanted = [each for each in asked if each.name not in found.absent]
            until = began + seconds
            answer = runner.ask(console, name, wanted, scale, options.repetitions, until=until)
        found.answers[name] = answer
        found.machine["took"] = f"{(time.monotonic() - began) / 60:.0f} minutes"
        try:
            if options.output:
                results.save(found, options.output)
        except OSError as error:  # what has been measured is worth to be seen
            console.print(str(error))
            status = 2
        table.show_answer(console, name, answer)
    table.show_about(console, found)
    void = [who for answer in found.answers.values() for who, _ in answer.void]
    return status or int(any(who.startswith(table.OURS) for who in void))


def _begin(options: argparse.Namespace, names: list[str], scale: Scale) -> results.Results:
    """Return what there is so far, and write it.

    Raises:
        OSError: it cannot be written: not to say so after an hour.
        ValueError: it would not be one run, or nobody can be measured.
    """
    asked = {
        "size": str(scale),
        "contenders": ", ".join(names),
        "repetitions": str(options.repetitions),
        "took": "0 minutes",
    }
    absent = install.absent(runner.everybody(options.questions, names))
    if absent.keys() == set(names) and OF_THEIR_OWN.isdisjoint(options.questions):
        raise ValueError(f"nobody can be measured: {absent}")
    found = results.Results(machine.describe() | asked, absent=absent)
    if getattr(options, "resume", False):
        _take_up(found, results.load(options.output))
    elif options.output and options.output.exists():
        raise ValueError(f"{options.output} is there already")
    if options.output:
        results.save(found, options.output)
    return found


def _take_up(found: results.Results, before: results.Results) -> None:
    """Keep what a run has answered that was cut off.

    Raises:
        ValueError: it was of another build, machine or size, or of others.
    """
    for name in SAME:
        if (known := before.machine.get(name)) != found.machine[name]:
            raise ValueError(f"the file is not of the same {name}: {known}")
    if before.absent != found.absent:
        raise ValueError(f"in the file others could not be measured: {before.absent}")
    found.answers |= before.answers
    parts = [before.machine.get("resumed after"), before.machine["took"]]
    found.machine["resumed after"] = ", ".join(filter(None, parts))


def _print_row(console: Console, *figures: str) -> None:
    console.print("  ".join(f"{figure:>14}" for figure in figures))


def _grow(console: Console, options: argparse.Namespace) -> int:
    columns = ("week", "logins", "rooms", "memory, MiB", "file, MiB", "one notify, ms")
    _print_row(console, *columns)

    def show(week: growth.Week) -> None:
        _print_row(
            console,
            f"{week.number}",
            f"{week.logins:,}",
            f"{week.rooms:,}",
            f"{week.resident / 2**20:,.0f}",
            f"{week.file / 2**20:,.0f}",
            f"{week.notify * 1000:.2f}",
        )

    growth.measure(logins=options.logins, users=options.users, weeks=options.weeks, report=show)
    return 0


def _start(console: Console, options: argparse.Namespace) -> int:
    _print_row(console, "rooms", "file, MiB", "ready after, s", "memory, MiB")

    def show(started: start.Start) -> None:
        _print_row(
            console,
            f"{started.rooms:,}",
            f"{started.file / 2**20:,.0f}",
            f"{started.seconds:.2f}",
            f"{started.resident / 2**20:,.0f}",
        )

    try:
        start.measure(rooms=options.rooms, repetitions=options.repetitions, report=show)
    except Void as void:
        console.print(str(void))
        return 2
    return 0


def _compiler(console: Console) -> bool:
    why = install.check_compiler()
    if why:
        console.print(why)
    return why is None


def _install(console: Console, _: argparse.Namespace) -> int:
    install.install(console)
    found = install.absent(CONTENDERS.values())
    for name, why in found.items():
        console.print(f"{name}: {why}")
    return int(bool(found))


def _profile(console: Console, options: argparse.Namespace) -> int:
    if not _compiler(console):
        return 2
    scale = QUICK if options.quick else full()
    try:
        profile.profile(options.question, scale, options.output)
    except (profile.NoProfiler, Void) as error:
        console.print(str(error))
        return 2
    console.print(f"drawn: {options.output}")
    return 0


def _compare(console: Console, options: argparse.Namespace) -> int:
    try:
        old, new = results.load(options.old), results.load(options.new)
        return int(compare.compare(console, old, new))
    except (OSError, ValueError) as error:
        console.print(str(error))
        return 2


def _plot(console: Console, options: argparse.Namespace) -> int:
    from . import plot  # takes a second, and nobody else needs it

    return _write(console, options, plot.draw)


def _document(console: Console, options: argparse.Namespace) -> int:
    from . import document

    return _write(console, options, document.write)


def _write(
    console: Console,
    options: argparse.Namespace,
    write: Callable[[results.Results, Path], Iterable[Path]],
) -> int:
    try:
        for path in write(results.load(options.results), options.directory):
            console.print(f"written: {path}")
    except (OSError, ValueError) as error:
        console.print(str(error))
        return 2
    return 0


if __name__ == "__main__":
    # So that the servers end, too, and nobody gets a traceback for it.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
