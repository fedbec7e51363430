"""One run under way: prepared, trained, checkpointed, stopped by signals, recorded. Knows no terminal."""
