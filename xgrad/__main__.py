"""`python -m xgrad` is the command `xgrad`."""

from xgrad.cli import main

if __name__ == "__main__":
    main()
