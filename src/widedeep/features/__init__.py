"""Features of a rating: indices into vocabularies, numbers of user and item, and the history before the rating."""
