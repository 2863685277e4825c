"""Better, worse or noise: what changed between two revisions, and over time."""
