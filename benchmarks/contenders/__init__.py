"""One file per contender: the same work, each in its own framework's usual way."""
