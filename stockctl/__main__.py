"""Where the command begins, also as ``python -m stockctl``. Ctrl-C leaves no traceback, not even while it is being imported."""

import sys


def main() -> None:
    """Run the command and leave with its exit code."""
    try:
        from stockctl.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
