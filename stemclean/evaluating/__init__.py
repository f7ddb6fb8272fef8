"""Building blocks of ``eval separation`` and ``eval pitch``: pairing, measuring and writing results."""
