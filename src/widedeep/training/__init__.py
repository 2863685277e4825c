"""Training: tasks and their losses, batches, the training loop, and the warm start."""
