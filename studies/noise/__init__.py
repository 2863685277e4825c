"""The noise floor: how much a metric varies if only the training seed changes."""
