"""How is the command line started? `python -m r1book`; the commands are in `cli.py`."""

from r1book.cli import main

if __name__ == "__main__":
    main()
