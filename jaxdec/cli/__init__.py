"""The command line: one module per command, which parses and calls. Heavy imports wait until a command needs them."""
