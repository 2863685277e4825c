"""The parameters that a search found best, per data set."""
