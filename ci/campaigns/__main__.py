"""The entry of ``python -m campaigns``."""

if __name__ == "__main__":
    from .command import main

    main()
