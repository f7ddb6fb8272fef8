"""What ``refine`` is made of: one pass over the audio, the rounds of self-refining, what they come to."""

CLAIMED_THRESHOLD = 0.3
"""Where a claimed class begins to count, unless told otherwise; ``benchmarks/claimed_threshold.py`` measures it."""
