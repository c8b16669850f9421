"""The entry of ``python -m benchmarks``; light, for new processes import it too."""

if __name__ == "__main__":
    from .command import main

    main()
