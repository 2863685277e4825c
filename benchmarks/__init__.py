"""Scripts that measure the pipeline."""

import stages  # noqa: F401  a copy of the tree must use its own src/, which `stages` puts first on the path
