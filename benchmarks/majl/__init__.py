"""Separation and pitch learned jointly, compared with learning them separately; see :mod:`benchmarks.majl.__main__`."""
