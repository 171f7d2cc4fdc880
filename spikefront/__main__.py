"""``python -m spikefront``: the console script."""

import sys

from spikefront.cli import main

if __name__ == "__main__":
    sys.exit(main())
