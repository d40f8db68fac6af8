"""Degradations, one file per noun. Adding one is a file here and an entry in :data:`ALL`."""

from blursynth.core import Degradation, Nothing
from blursynth.degradations.accelerated_motion import AcceleratedMotion
from blursynth.degradations.airy_blur import AiryBlur
from blursynth.degradations.camera import Camera
from blursynth.degradations.camera_shake import CameraShake
from blursynth.degradations.deblurgan_blur import DeblurganBlur
from blursynth.degradations.decode import Decode
from blursynth.degradations.defocus import Defocus
from blursynth.degradations.denoise import Denoise
from blursynth.degradations.depth_parallax import DepthParallax
from blursynth.degradations.depth_smoothing import DepthSmoothing
from blursynth.degradations.develop import Develop
from blursynth.degradations.disk_blur import DiskBlur
from blursynth.degradations.encode import Encode
from blursynth.degradations.exposure import Exposure
from blursynth.degradations.frame_average import FrameAverage
from blursynth.degradations.gain import Gain
from blursynth.degradations.gamma_decode import GammaDecode
from blursynth.degradations.gamma_encode import GammaEncode
from blursynth.degradations.gaussian_blur import GaussianBlur
from blursynth.degradations.gaussian_noise import GaussianNoise
from blursynth.degradations.gaussian_process_motion import GaussianProcessMotion
from blursynth.degradations.generalised_gaussian_blur import GeneralisedGaussianBlur
from blursynth.degradations.ground_depth import GroundDepth
from blursynth.degradations.highlight_expansion import HighlightExpansion
from blursynth.degradations.highlight_offset import HighlightOffset
from blursynth.degradations.jpeg import Jpeg
from blursynth.degradations.layered_depth import LayeredDepth
from blursynth.degradations.linear_motion import LinearMotion
from blursynth.degradations.measured_blur import MeasuredBlur
from blursynth.degradations.measured_decode import MeasuredDecode
from blursynth.degradations.measured_encode import MeasuredEncode
from blursynth.degradations.object_motion import ObjectMotion
from blursynth.degradations.plane_depth import PlaneDepth
from blursynth.degradations.plateau_blur import PlateauBlur
from blursynth.degradations.poisson_noise import PoissonNoise
from blursynth.degradations.polygon_blur import PolygonBlur
from blursynth.degradations.random_objects import RandomObjects
from blursynth.degradations.random_walk_motion import RandomWalkMotion
from blursynth.degradations.recorded_motion import RecordedMotion
from blursynth.degradations.recorded_shake import RecordedShake
from blursynth.degradations.rescale import Rescale
from blursynth.degradations.rolling_shutter import RollingShutter
from blursynth.degradations.sensor import Sensor
from blursynth.degradations.sharpen import Sharpen
from blursynth.degradations.sigmoid_decode import SigmoidDecode
from blursynth.degradations.sigmoid_encode import SigmoidEncode
from blursynth.degradations.sinc_blur import SincBlur
from blursynth.degradations.webp import Webp
from blursynth.degradations.zoom import Zoom

ALL: tuple[type[Degradation], ...] = (
    Nothing,
    Camera,
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
    GeneralisedGaussianBlur,
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
"""Every kind that recipes know by name."""

__all__ = [
    "ALL",
    "AcceleratedMotion",
    "AiryBlur",
    "Camera",
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
    "GeneralisedGaussianBlur",
    "GroundDepth",
    "HighlightExpansion",
    "HighlightOffset",
    "Jpeg",
    "LayeredDepth",
    "LinearMotion",
    "MeasuredBlur",
    "MeasuredDecode",
    "MeasuredEncode",
    "Nothing",
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
    "Sharpen",
    "SigmoidDecode",
    "SigmoidEncode",
    "SincBlur",
    "Webp",
    "Zoom",
]
