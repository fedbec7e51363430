"""From images to logits with a trained model: evaluation, prediction. Knows no tracker, terminal or files."""
