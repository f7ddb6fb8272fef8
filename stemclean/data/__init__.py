"""Training data: a pool of decoded stems, effects, random mixtures and planted faults."""

CACHE_LIMIT_GB = 50.0
"""Size limit of the default cache folder, in 10^9 bytes: about 80 hours of stereo at 44.1 kHz."""
