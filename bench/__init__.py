"""Benchmarks: one question a module, each answered beside peers that do the same job.

`python -m bench --help` lists them. Rounds are interleaved (A B C A B C), so that a slow
moment of the machine meets everybody; what is reported is the median of the rounds, with
the lowest and the highest beside it.
"""
