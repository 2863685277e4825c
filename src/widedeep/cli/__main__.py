"""`python -m widedeep.cli` is the command `widedeep`."""

import sys

from widedeep.cli import main

if __name__ == "__main__":
    sys.exit(main())
