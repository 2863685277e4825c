"""What to do about drift, measured: a prequential evaluation of policies on the time line."""
