"""Entry point of the command, also for ``python -m stockctl``. Ctrl-C shows no traceback, even during imports."""

import sys


def main() -> None:
    """Run the command, and exit with its code."""
    try:
        from stockctl.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
