"""Features of a rating: indices into vocabularies, numbers of the entities, and what was known before the rating."""
