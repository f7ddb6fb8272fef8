"""Sounds for training: a pool of decoded stems, effects, random mixtures; planted faults."""
