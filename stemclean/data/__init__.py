"""Training data: a pool of decoded stems, effects, random mixtures and planted faults."""
