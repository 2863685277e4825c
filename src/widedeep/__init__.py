"""A reproducible Wide & Deep recommender pipeline."""
