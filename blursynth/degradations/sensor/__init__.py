"""Sensor degradations: exposure and noise."""
