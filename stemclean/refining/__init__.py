"""Building blocks of ``refine``: one pass over the audio, the rounds of self-refining, and the summary."""

from typing import Literal

THRESHOLD = 0.9
"""Default threshold of a class, the paper's."""
ROUNDS = 2
"""Default number of rounds of self-refining."""
FOLDS = 1
"""Default number of folds: one classifier judges its own training data, as in the paper."""
RETRAIN_ON: Literal["single", "all"] = "single"
"""Default stems that train the next round."""
MIN_SINGLE_SHARE = 0.2
"""Default share of its claims that a class keeps for the next round."""
CLAIMED_THRESHOLD = 0.3
"""Default threshold of a claimed class; ``benchmarks/claimed_threshold.py`` measures its effect."""
