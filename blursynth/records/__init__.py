"""Records, text, TOML, units and named random streams."""
