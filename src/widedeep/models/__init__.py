"""Models: features of a row in, a predicted rating out."""
