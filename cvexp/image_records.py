"""What a model said of every image of a split, as one compact file, so that no analysis has to run the model again."""
