"""What the metrics mean and how sure they are: pure functions of arrays and tensors."""
