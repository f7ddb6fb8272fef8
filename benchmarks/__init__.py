"""Benchmarks, and the training set of the bundled weights; run a script as ``python -m benchmarks.NAME``."""
