"""Degradations. To add one, add a file, its import (`as` exports it to type checkers) and its place in :data:`ALL`."""

from blursynth.core import Degradation as Degradation
from blursynth.core import Identity as Identity
from blursynth.degradations.file.jpeg import Jpeg as Jpeg
from blursynth.degradations.file.rescale import Rescale as Rescale
from blursynth.degradations.file.webp import Webp as Webp
from blursynth.degradations.lens.airy_blur import AiryBlur as AiryBlur
from blursynth.degradations.lens.defocus import Defocus as Defocus
from blursynth.degradations.lens.disk_blur import DiskBlur as DiskBlur
from blursynth.degradations.lens.gaussian_blur import GaussianBlur as GaussianBlur
from blursynth.degradations.lens.measured_blur import MeasuredBlur as MeasuredBlur
from blursynth.degradations.lens.polygon_blur import PolygonBlur as PolygonBlur
from blursynth.degradations.lens.sampled_blur import GeneralizedGaussianBlur as GeneralizedGaussianBlur
from blursynth.degradations.lens.sampled_blur import PlateauBlur as PlateauBlur
from blursynth.degradations.lens.sampled_blur import SincBlur as SincBlur
from blursynth.degradations.motion.accelerated_motion import AcceleratedMotion as AcceleratedMotion
from blursynth.degradations.motion.camera_shake import CameraShake as CameraShake
from blursynth.degradations.motion.depth_parallax import DepthParallax as DepthParallax
from blursynth.degradations.motion.frame_average import FrameAverage as FrameAverage
from blursynth.degradations.motion.gaussian_process_motion import GaussianProcessMotion as GaussianProcessMotion
from blursynth.degradations.motion.linear_motion import LinearMotion as LinearMotion
from blursynth.degradations.motion.object_motion import ObjectMotion as ObjectMotion
from blursynth.degradations.motion.random_walk_motion import RandomWalkMotion as RandomWalkMotion
from blursynth.degradations.motion.recorded_motion import RecordedMotion as RecordedMotion
from blursynth.degradations.motion.recorded_shake import RecordedShake as RecordedShake
from blursynth.degradations.motion.rolling_shutter import RollingShutter as RollingShutter
from blursynth.degradations.motion.zoom import Zoom as Zoom
from blursynth.degradations.published.deblurgan_blur import DeblurganBlur as DeblurganBlur
from blursynth.degradations.scene.depth_smoothing import DepthSmoothing as DepthSmoothing
from blursynth.degradations.scene.gain import Gain as Gain
from blursynth.degradations.scene.ground_depth import GroundDepth as GroundDepth
from blursynth.degradations.scene.highlight_expansion import HighlightExpansion as HighlightExpansion
from blursynth.degradations.scene.highlight_offset import HighlightOffset as HighlightOffset
from blursynth.degradations.scene.layered_depth import LayeredDepth as LayeredDepth
from blursynth.degradations.scene.plane_depth import PlaneDepth as PlaneDepth
from blursynth.degradations.scene.random_objects import RandomObjects as RandomObjects
from blursynth.degradations.scene.set_intrinsics import SetIntrinsics as SetIntrinsics
from blursynth.degradations.sensor.exposure import Exposure as Exposure
from blursynth.degradations.sensor.gaussian_noise import GaussianNoise as GaussianNoise
from blursynth.degradations.sensor.poisson_noise import PoissonNoise as PoissonNoise
from blursynth.degradations.sensor.sensor import Sensor as Sensor
from blursynth.degradations.tone.denoise import Denoise as Denoise
from blursynth.degradations.tone.develop import Develop as Develop
from blursynth.degradations.tone.gamma import GammaDecode as GammaDecode
from blursynth.degradations.tone.gamma import GammaEncode as GammaEncode
from blursynth.degradations.tone.measured_curve import MeasuredDecode as MeasuredDecode
from blursynth.degradations.tone.measured_curve import MeasuredEncode as MeasuredEncode
from blursynth.degradations.tone.sharpen import Sharpen as Sharpen
from blursynth.degradations.tone.sigmoid import SigmoidDecode as SigmoidDecode
from blursynth.degradations.tone.sigmoid import SigmoidEncode as SigmoidEncode
from blursynth.degradations.tone.srgb import Decode as Decode
from blursynth.degradations.tone.srgb import Encode as Encode


class _All(tuple[type[Degradation], ...]):
    """The kinds that ship with the library, by a short name where they are the default of a parameter."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "blursynth.kinds.ALL"


ALL: tuple[type[Degradation], ...] = _All((
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
))  # fmt: skip
"""All kinds that recipes can refer to by name."""
