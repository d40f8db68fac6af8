"""The samplers that draw the parameters of a kind jointly."""

from blursynth.recipe.samplers import JointSampler
from blursynth.recipe.sensor_from_profile import SensorFromProfile

__all__ = ["JOINT_SAMPLERS"]

JOINT_SAMPLERS: tuple[type[JointSampler], ...] = (SensorFromProfile,)
"""Joint samplers available to the steps of recipes."""
