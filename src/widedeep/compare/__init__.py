"""Two commits compared: verdicts, gates, the noise floor and the history of the metrics."""
