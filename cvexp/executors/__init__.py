"""Where attempts at trials run: in this process, in workers on this machine, on others. Knows nothing of training."""
