"""Training and evaluation on any device. Knows no tracker, no terminal and no files."""
