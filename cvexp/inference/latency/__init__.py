"""How long a trained model takes for a batch: stopwatch, procedure, figures. Knows no tracker, terminal or files."""
