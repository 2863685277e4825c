"""The model family, trained and judged on the same rows."""
