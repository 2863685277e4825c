"""One thin script per stage of dvc.yaml: read params, call the library, write outputs."""

import sys
from pathlib import Path

# `dvc exp run --temp` runs a copy of the tree; the editable install points to the original, so the copy comes first.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
