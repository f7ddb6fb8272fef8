"""What judges, separates and tracks, and the weights that it needs."""
