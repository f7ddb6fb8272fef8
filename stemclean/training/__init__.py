"""From examples to weights: task, loop, calibration."""
