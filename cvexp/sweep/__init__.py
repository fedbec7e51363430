"""Searches of a space: which point is tried next, which trial is stopped early, and which settings matter."""
