"""The search for parameters, and the presets that it found for each data set."""
