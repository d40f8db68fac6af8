"""Degradations of the literature, as published."""
