"""Drift of the data: how far the features and ratings of each window of time are from those of the training rows."""
