"""The models by name, and the architectures behind the names."""
