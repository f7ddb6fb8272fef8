"""``python -m stemclean`` is ``stemclean``."""

from stemclean import stopping

__all__ = ["main"]


def main() -> None:
    """Run the command line; signals are taken before the rest is imported, which takes a moment."""
    stopping.install()
    from stemclean.cli import main as run

    run()


if __name__ == "__main__":
    main()
