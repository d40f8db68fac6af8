"""What moves while the shutter is open."""
