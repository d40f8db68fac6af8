"""Profiles of the sensors of real cameras, and their calibration."""

from blursynth.cameras.profile import SensorProfile, load_sensor_profile, sensor_profile_names

__all__ = ["SensorProfile", "load_sensor_profile", "sensor_profile_names"]
