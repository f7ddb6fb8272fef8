"""Models (classifiers, separators, pitch trackers) and their weights."""
