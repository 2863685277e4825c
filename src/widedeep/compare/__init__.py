"""The comparison of two commits: verdicts, gates, noise floor, and the history of the metrics."""
