"""Studies on the pipeline, each in a folder of its own."""

import stages  # noqa: F401  a copy of the tree must use its own src/, which `stages` puts first on the path
