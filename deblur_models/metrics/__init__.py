"""Metrics of restored pictures."""
