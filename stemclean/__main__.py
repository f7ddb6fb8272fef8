"""``python -m stemclean`` is ``stemclean``."""

from stemclean.cli import main

if __name__ == "__main__":
    main()
