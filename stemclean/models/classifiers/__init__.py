"""Instrument classifiers, one architecture per file."""
