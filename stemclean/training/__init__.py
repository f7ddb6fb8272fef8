"""Training: tasks, the training loop, recipes and calibration."""

CLASSIFIER_RECIPE = "small"
SEPARATOR_RECIPE = "xumx-small"
JOINT_RECIPE = "unet-vocals-small"
TRACKER_RECIPE = "rmvpe-small"
"""Default recipes."""
WEIGHTING = "uniform"
"""Default weighting of the examples of joint training."""
SEP_WEIGHT = 1.0
"""Default weight of the separation loss in joint training."""
WORKERS = 2
"""Default number of processes that prepare training examples."""
CLASSIFIER_WORKERS = 1
"""The same for classifiers, whose mixtures take less time."""
