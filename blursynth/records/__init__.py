"""What is written down: text, TOML, units and named random streams."""
