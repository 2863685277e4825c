"""The comparison of all models, trained and judged on the same rows."""
