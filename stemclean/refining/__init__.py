"""Building blocks of ``refine``: one pass over the audio, the rounds of self-refining, and the summary."""

CLAIMED_THRESHOLD = 0.3
"""Default threshold of a claimed class; ``benchmarks/claimed_threshold.py`` measures its effect."""
