"""Run stemclean as ``python -m stemclean``."""

import os

from stemclean import stopping

__all__ = ["main"]

SPINS = "20000"
"""Rounds of a loop in which a thread of torch waits for the others before it sleeps; GNU OpenMP waits 15 times as long.

On cores that other processes share, a long wait takes the time from the thread that is waited for.
"""


def main() -> None:
    """Run the command line; signal handlers are installed first, because importing the rest takes a moment."""
    stopping.install()
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    from stemclean.cli import main as run

    run()


if __name__ == "__main__":
    main()
