"""``python -m ndino``: the command line."""

import sys

from ndino.cli import main

if __name__ == "__main__":
    sys.exit(main())
