"""The command line: flags in, one job called, a report printed, an exit code."""
