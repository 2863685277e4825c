"""Run the command `widedeep` as `python -m widedeep.cli`."""

import sys

from widedeep.cli import main

if __name__ == "__main__":
    sys.exit(main())
