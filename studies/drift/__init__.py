"""The study of policies against drift: a prequential evaluation on the time line."""
