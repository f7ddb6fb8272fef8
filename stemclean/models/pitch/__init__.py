"""Pitch trackers, one architecture per file; the file has the name of the architecture."""
