"""Sound: files, activity, loudness and spectrograms. Waveforms are float32, channel-first ``(channel, time)``."""
