"""``python -m stockctl``."""

from stockctl.cli.main import main

if __name__ == "__main__":
    main()
