"""`python -m bench QUESTION`."""

import argparse

from . import verdict


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of sse_trio.")
    questions = parser.add_subparsers(required=True, metavar="QUESTION")
    question = questions.add_parser("verdict", help=verdict.QUESTION, description=verdict.QUESTION)
    question.add_argument("--rounds", type=int, default=9, help="(%(default)s)")
    question.add_argument("--calls", type=int, default=2000, help="in each round (%(default)s)")
    options = parser.parse_args()
    verdict.run(rounds=options.rounds, calls=options.calls)


if __name__ == "__main__":
    main()
