"""Run stemclean as ``python -m stemclean``."""

from stemclean import stopping

__all__ = ["main"]


def main() -> None:
    """Run the command line; signal handlers are installed first, because importing the rest takes a moment."""
    stopping.install()
    from stemclean.cli import main as run

    run()


if __name__ == "__main__":
    main()
