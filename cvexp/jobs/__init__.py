"""One file per verb: a request goes in, a result comes out. No terminal, no arguments of a command line."""
