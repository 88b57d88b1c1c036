"""``python -m ohmgrid VERB``: the command line, where its program is not on PATH."""

from ohmgrid.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
