"""Models: wiring of layers. A changed part is a config value; new wiring is a class."""
