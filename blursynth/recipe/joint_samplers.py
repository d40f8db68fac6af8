"""The samplers that draw the numbers of a kind together."""

from blursynth.recipe.samplers import JointSampler
from blursynth.recipe.sensor_from_profile import SensorFromProfile

__all__ = ["JOINT_SAMPLERS"]

JOINT_SAMPLERS: tuple[type[JointSampler], ...] = (SensorFromProfile,)
"""Those that steps of recipes may ask for."""
