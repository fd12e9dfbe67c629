"""Benchmarks: one question a module, each asked of the hub and of peers that do the same job.

`python -m bench --help` lists them. A load generator in C (`load.c`) drives each server
and checks every byte that it gets; what is missing, doubled or wrong voids the repetition. The
peers are in `peers`; `servers` says what is the same for all. Runs interleave (A B C A B C), so
that a slow moment of the machine meets everybody; what is reported is the median of the
repetitions with the quartiles beside it, and how many times each peer's value the hub's is.
"""
