"""Many random scenarios: `python -m tests.simulation --runs 1000 --seed 0`."""

import argparse
import logging
import sys

from .scenarios import KINDS, wrong_in


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's seed (default: 0)")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        wrong = wrong_in(KINDS[seed % len(KINDS)](seed))
        failed += bool(wrong)
        for each in wrong:
            print(f"seed {seed}: {each}", flush=True)  # noqa: T201
    print(f"{arguments.runs} runs, {failed} with something wrong")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
