"""What datasets exist, where their bytes are, and how they become batches."""
