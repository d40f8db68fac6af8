"""Lens degradations: point spreads of optics and of defocus."""
