"""`python -m uhrqa`: the same as the command `uhrqa`."""

from uhrqa.cli import main

if __name__ == "__main__":
    main()
