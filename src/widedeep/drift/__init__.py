"""The data over time: how far features and ratings of each window are from those of the training rows."""
