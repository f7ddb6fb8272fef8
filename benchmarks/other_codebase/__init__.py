"""Does a separator of another codebase profit from a refined export? See :mod:`benchmarks.other_codebase.__main__`."""
