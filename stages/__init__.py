"""One short script per stage of dvc.yaml: read the parameters, call the library, write the outputs."""

import sys
from pathlib import Path

# `dvc exp run --temp` runs a copy of the repository, but an editable install points to the original. Use the copy.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
