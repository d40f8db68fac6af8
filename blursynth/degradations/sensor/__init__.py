"""Where light becomes numbers: exposure and noise."""
