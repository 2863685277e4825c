"""Training: batches on the device, the loop around a model, its weights and its record."""
