"""What takes a mixture apart: one architecture a file."""
