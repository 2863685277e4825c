"""Programs that measure the quality of the pipeline."""

import stages  # noqa: F401  puts src/ of this tree first on the path, also in a copy of the tree
