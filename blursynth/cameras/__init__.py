"""Sensor profiles of real cameras, and their calibration."""

from blursynth.cameras.calibration import Calibration, FlatFields, calibrate_from_flats, calibrate_from_pair
from blursynth.cameras.profile import SensorProfile, load_sensor_profile, sensor_profile_names

__all__ = [
    "Calibration",
    "FlatFields",
    "SensorProfile",
    "calibrate_from_flats",
    "calibrate_from_pair",
    "load_sensor_profile",
    "sensor_profile_names",
]
