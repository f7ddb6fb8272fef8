"""Which classes sound: one architecture a file."""
