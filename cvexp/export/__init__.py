"""A trained model as files: inside its run, and as one file of its own in a choice of formats."""
