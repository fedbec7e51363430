"""Train small image classifiers, track every run in MLflow, and find out which one to ship."""

__version__ = "0.1.0"
