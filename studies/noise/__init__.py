"""How much a metric moves when nothing but the seed of the training changes."""
