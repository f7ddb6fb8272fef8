"""Training: tasks, the training loop, recipes and calibration."""

WORKERS = 2
"""Default number of processes that prepare training examples."""
CLASSIFIER_WORKERS = 1
"""The same for classifiers, whose mixtures take less time."""
