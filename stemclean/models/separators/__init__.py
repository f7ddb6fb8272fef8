"""Source separators, one architecture per file."""
