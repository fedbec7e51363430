"""Values to matplotlib figures. Nothing here computes a figure of merit."""
