"""Degradations, one file each. To add one, add a file here and an entry in :data:`ALL`."""

from blursynth.core import Degradation, Identity
from blursynth.degradations.file.jpeg import Jpeg
from blursynth.degradations.file.rescale import Rescale
from blursynth.degradations.file.webp import Webp
from blursynth.degradations.lens.airy_blur import AiryBlur
from blursynth.degradations.lens.defocus import Defocus
from blursynth.degradations.lens.disk_blur import DiskBlur
from blursynth.degradations.lens.gaussian_blur import GaussianBlur
from blursynth.degradations.lens.generalized_gaussian_blur import GeneralizedGaussianBlur
from blursynth.degradations.lens.measured_blur import MeasuredBlur
from blursynth.degradations.lens.plateau_blur import PlateauBlur
from blursynth.degradations.lens.polygon_blur import PolygonBlur
from blursynth.degradations.lens.sinc_blur import SincBlur
from blursynth.degradations.motion.accelerated_motion import AcceleratedMotion
from blursynth.degradations.motion.camera_shake import CameraShake
from blursynth.degradations.motion.depth_parallax import DepthParallax
from blursynth.degradations.motion.frame_average import FrameAverage
from blursynth.degradations.motion.gaussian_process_motion import GaussianProcessMotion
from blursynth.degradations.motion.linear_motion import LinearMotion
from blursynth.degradations.motion.object_motion import ObjectMotion
from blursynth.degradations.motion.random_walk_motion import RandomWalkMotion
from blursynth.degradations.motion.recorded_motion import RecordedMotion
from blursynth.degradations.motion.recorded_shake import RecordedShake
from blursynth.degradations.motion.rolling_shutter import RollingShutter
from blursynth.degradations.motion.zoom import Zoom
from blursynth.degradations.published.deblurgan_blur import DeblurganBlur
from blursynth.degradations.scene.depth_smoothing import DepthSmoothing
from blursynth.degradations.scene.gain import Gain
from blursynth.degradations.scene.ground_depth import GroundDepth
from blursynth.degradations.scene.highlight_expansion import HighlightExpansion
from blursynth.degradations.scene.highlight_offset import HighlightOffset
from blursynth.degradations.scene.layered_depth import LayeredDepth
from blursynth.degradations.scene.plane_depth import PlaneDepth
from blursynth.degradations.scene.random_objects import RandomObjects
from blursynth.degradations.scene.set_intrinsics import SetIntrinsics
from blursynth.degradations.sensor.exposure import Exposure
from blursynth.degradations.sensor.gaussian_noise import GaussianNoise
from blursynth.degradations.sensor.poisson_noise import PoissonNoise
from blursynth.degradations.sensor.sensor import Sensor
from blursynth.degradations.tone.decode import Decode
from blursynth.degradations.tone.denoise import Denoise
from blursynth.degradations.tone.develop import Develop
from blursynth.degradations.tone.encode import Encode
from blursynth.degradations.tone.gamma_decode import GammaDecode
from blursynth.degradations.tone.gamma_encode import GammaEncode
from blursynth.degradations.tone.measured_decode import MeasuredDecode
from blursynth.degradations.tone.measured_encode import MeasuredEncode
from blursynth.degradations.tone.sharpen import Sharpen
from blursynth.degradations.tone.sigmoid_decode import SigmoidDecode
from blursynth.degradations.tone.sigmoid_encode import SigmoidEncode

ALL: tuple[type[Degradation], ...] = (
    Identity,
    SetIntrinsics,
    PlaneDepth,
    GroundDepth,
    LayeredDepth,
    DepthSmoothing,
    RandomObjects,
    Decode,
    GammaDecode,
    SigmoidDecode,
    MeasuredDecode,
    HighlightOffset,
    HighlightExpansion,
    Gain,
    Exposure,
    ObjectMotion,
    RandomWalkMotion,
    LinearMotion,
    AcceleratedMotion,
    GaussianProcessMotion,
    RecordedMotion,
    FrameAverage,
    CameraShake,
    RollingShutter,
    RecordedShake,
    Zoom,
    GaussianBlur,
    DiskBlur,
    PolygonBlur,
    AiryBlur,
    MeasuredBlur,
    GeneralizedGaussianBlur,
    PlateauBlur,
    SincBlur,
    Defocus,
    DepthParallax,
    Rescale,
    GaussianNoise,
    PoissonNoise,
    Sensor,
    Develop,
    Encode,
    GammaEncode,
    SigmoidEncode,
    MeasuredEncode,
    Denoise,
    Sharpen,
    Jpeg,
    Webp,
    DeblurganBlur,
)
"""All kinds that recipes can refer to by name."""

__all__ = [
    "ALL",
    "AcceleratedMotion",
    "AiryBlur",
    "CameraShake",
    "DeblurganBlur",
    "Decode",
    "Defocus",
    "Degradation",
    "Denoise",
    "DepthParallax",
    "DepthSmoothing",
    "Develop",
    "DiskBlur",
    "Encode",
    "Exposure",
    "FrameAverage",
    "Gain",
    "GammaDecode",
    "GammaEncode",
    "GaussianBlur",
    "GaussianNoise",
    "GaussianProcessMotion",
    "GeneralizedGaussianBlur",
    "GroundDepth",
    "HighlightExpansion",
    "HighlightOffset",
    "Identity",
    "Jpeg",
    "LayeredDepth",
    "LinearMotion",
    "MeasuredBlur",
    "MeasuredDecode",
    "MeasuredEncode",
    "ObjectMotion",
    "PlaneDepth",
    "PlateauBlur",
    "PoissonNoise",
    "PolygonBlur",
    "RandomObjects",
    "RandomWalkMotion",
    "RecordedMotion",
    "RecordedShake",
    "Rescale",
    "RollingShutter",
    "Sensor",
    "SetIntrinsics",
    "Sharpen",
    "SigmoidDecode",
    "SigmoidEncode",
    "SincBlur",
    "Webp",
    "Zoom",
]
