"""Models: from the features of pairs of user and item to predicted ratings and scores to rank by."""
