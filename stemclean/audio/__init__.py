"""Sound: files, activity, loudness and spectrograms. Waveforms are float32, channel-first ``(channel, time)``."""

SILENCE_FLOOR_DBFS = -130.0
"""Absolute floor, below which everything is silence: about 10 dB above the noise of 24 bits."""
