"""What the lens does: point spreads of optics and of defocus."""
