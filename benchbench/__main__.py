"""`python -m benchbench` is the same as `bench`."""

from .cli import main

if __name__ == "__main__":
    main()
