"""Ways to run the training step: as it is written, or recorded once and replayed."""
