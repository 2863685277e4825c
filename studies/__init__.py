"""Studies on the pipeline, each in a folder of its own."""

import stages  # noqa: F401  puts src/ of this tree first on the path, also in a copy of the tree
