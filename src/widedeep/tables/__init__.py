"""The canonical tables: ratings read, checked, deduplicated, filtered and split; items and users completed."""
