"""Metrics of predictions and lists: how good they are, how sure that is, and where."""
