"""Metrics of predicted ratings and recommended lists, with intervals, and by groups of rows."""
