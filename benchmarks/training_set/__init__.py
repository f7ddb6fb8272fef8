"""The training set of the bundled weights, built from public material."""
