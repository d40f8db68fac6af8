"""Every kind that ships is held against every law that it claims, through the kit that anybody can use.

The table says what each kind claims beyond what :func:`adapted` reads from its record, and why a law is not claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.core import Degradation
from blursynth.testing import Adapter, Noise, laws
from blursynth.testing.degradations import CAMERA, adapted
from blursynth.testing.laws import Law, Profile

ARRAYS = ("numpy", *(["torch"] if find_spec("torch") else []))
QUICK = Profile(examples=6, seconds=0.6)

Function = Callable[..., Any]
FOCAL_PX = CAMERA.focal_length_mm / CAMERA.pixel_pitch_um * 1000  # 3000


@dataclass(frozen=True)
class Claim:
    """A kind, and what it claims.

    ``strength`` makes the step of a strength, ``turned`` that of a world whose angles were mapped, ``of`` is called in
    place of the step.
    """

    step: Degradation | bs.Draw
    more: dict[str, Any] = field(default_factory=dict)
    not_held: dict[str, str] = field(default_factory=dict)
    strength: Callable[[float], Degradation] | None = None
    mirrored: Callable[[str], Degradation | bs.Draw] | None = None
    of: Callable[[Function], Function] | None = None

    def adapted(self, array: str) -> tuple[Function, Adapter]:
        claims: dict[str, Any] = {**self.more, "exempt": self.not_held}
        if self.strength is not None:
            claims["strength"] = lambda s: function_of(self.strength(s))  # type: ignore[misc]
        if self.mirrored is not None:
            claims["mirrored"] = lambda mirror: function_of(self.mirrored(mirror))  # type: ignore[misc]
        function, adapter = adapted(self.step, array=array, **claims)
        return (function if self.of is None else self.of(function)), adapter


def function_of(step: Degradation | bs.Draw) -> Function:
    return adapted(step)[0]


def draw(*steps: Degradation) -> bs.Draw:
    return bs.Draw(tuple((f"{n} {step.kind}", step) for n, step in enumerate(steps)))


def turned(make: Callable[[float], Degradation | bs.Draw], angle_deg: float) -> dict[str, Any]:
    """A step with a direction, and its mirror images: 0 is right and 90 is down."""
    angles = {"left-right": 180 - angle_deg, "up-down": -angle_deg, "transposed": 90 - angle_deg}
    return {"step": make(angle_deg), "mirrored": lambda mirror: make(angles[mirror])}


def upright(step: Degradation) -> dict[str, Any]:
    """A step without a direction, which is its own mirror image."""
    return {"step": step, "mirrored": lambda mirror: step}


FLIPS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "left-right": lambda a: a[:, ::-1],
    "up-down": lambda a: a[::-1],
    "transposed": lambda a: a.T,
}
KERNEL = np.array([[0.0, 0.1, 0.0, 0.0, 0.05], [0.2, 0.2, 0.1, 0.05, 0.0], [0.0, 0.0, 0.1, 0.0, 0.2]])
FLIPPED_PATHS = {"left-right": [-1, 0, 0, 1], "up-down": [1, 0, 0, -1], "transposed": [0, 1, 1, 0]}
PATH = np.array([[0.0, 0.0], [1.0, 3.0], [4.0, 2.0], [-2.0, 1.5]])
TIMES = np.array([0.0, 0.1, 0.25, 0.4])


def recording(mirror: str | None = None) -> bs.kinds.RecordedMotion:
    matrix = np.eye(2) if mirror is None else np.reshape(FLIPPED_PATHS[mirror], (2, 2))
    path = bs.assets.register(np.column_stack([TIMES, PATH @ matrix.T]))
    return bs.kinds.RecordedMotion(recording=path, start_s=0.05, exposure_s=0.3)


def gyroscope(mirror: str | None = None) -> bs.kinds.RecordedShake:
    """Rates about the camera's axes; a mirror turns the axes with it, and the sense of every turn round."""
    time = np.linspace(0.0, 0.1, 11)
    rates = np.stack([0.01 * np.cos(30 * time), 0.02 + 0.1 * time, 0.4 + 0 * time], axis=1)
    if mirror is not None:
        flat = np.reshape(FLIPPED_PATHS[mirror], (2, 2))
        rates = -np.column_stack([rates[:, :2] @ flat.T, rates[:, 2]])
    table = bs.assets.register(np.column_stack([time, rates]))
    return bs.kinds.RecordedShake(recording=table, start_s=0.01, exposure_s=0.06)


def pan_by_rows(function: Function) -> Function:
    """A camera that turns to the right at a constant rate, with the same time between rows in pictures of any height."""
    del function
    # In the camera's frame what is ahead moves to the left as the camera turns to the right.
    table = bs.assets.register(np.column_stack([[0.0, 1.0], np.zeros((2, 1)), np.full((2, 1), RATE), np.zeros((2, 1))]))

    def blur(image: Any, **rest: Any) -> Any:
        rows = image.shape[2]
        step = bs.kinds.RecordedShake(
            recording=table,
            start_s=0.1,
            exposure_s=8 * ROW_S,
            readout_s=rows * ROW_S,
            centered_on="global_shutter",
            step_px=0.05,  # steps in time would show as steps of rows
        )
        return function_of(step)(image, **rest)

    return blur


RATE, ROW_S = 0.05, 1e-3  # rad/s, s


def share_of_white(sensor: bs.kinds.Sensor) -> Callable[[Function], Function]:
    """RAW numbers as shares of white."""
    black = sensor.black_level_dn
    white = sensor.full_well_e * (sensor.gain_dn_per_e or 1.0)
    return lambda function: lambda image, **rest: (function(image, **rest) - black) / white


NO_BLUR = {"linear": True, "kernel": [[1.0]], "border": "constant", "centered": True}
NOT_CONSERVED = "a picture that is magnified or turned has another sum than before: light leaves through the border"
MIXED = "colors tell how pixels at an edge are mixed of both surfaces (test_layers.py holds them on such pictures)"
HIDDEN = "light of what is hidden appears, and other light is hidden"
SCATTERED = (
    "each pixel sends its light out, so that light and not a mean is kept: it adds up at borders and edges of depth"
)
LOBES = "its weights are negative in rings"
DIM = "it makes the picture darker by design"
CURVE = "a curve"

SENSOR = bs.kinds.Sensor(full_well_e=1000.0, read_noise_e=5.0, gain_dn_per_e=2.0, seed=1)
STILL = SENSOR.replace(read_noise_e=0.0, shot_noise=False, rounding=False)
MOTION = bs.kinds.LinearMotion(length_px=5.0, angle_deg=20.0)
LENS = bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0, blades=5)
PARALLAX = bs.kinds.DepthParallax(length_mm=2.0, anxiety=0.0, heading_deg=25.0, seed=3)
DEBLURGAN = bs.kinds.DeblurganBlur.example().replace(length_px=9.0, canvas_px=16, samples=200, stretch=False)
WALK: dict[str, Any] = {"length_px": 9.0, "anxiety": 0.0, "seed": 1}
MOVED = {"depth": "depth_m"}

TABLE = (
    Claim(bs.kinds.Identity(), NO_BLUR),
    Claim(bs.kinds.SetIntrinsics(focal_length_mm=5.0, pixel_pitch_um=2.0), NO_BLUR),
    Claim(bs.kinds.PlaneDepth(distance_m=2.0, tilt_deg=50.0), NO_BLUR),
    Claim(bs.kinds.GroundDepth(camera_height_m=1.6), NO_BLUR),
    Claim(bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, seed=3), NO_BLUR),
    Claim(bs.kinds.DepthSmoothing(radius_px=2), {**NO_BLUR, **MOVED}),
    Claim(bs.kinds.RandomObjects(seed=3), NO_BLUR),
    Claim(bs.kinds.Decode()),
    Claim(bs.kinds.GammaDecode()),
    Claim(bs.kinds.SigmoidDecode()),
    Claim(bs.kinds.MeasuredDecode.example()),
    Claim(bs.kinds.HighlightOffset(offset=0.5, threshold=0.7)),
    Claim(bs.kinds.HighlightExpansion(peak=5.0, threshold=0.5)),
    Claim(
        bs.kinds.Gain(gain=0.5),
        {**NO_BLUR, "kernel": [[0.5]]},
        {"flux": DIM, "constants": DIM},
    ),
    Claim(bs.kinds.Exposure(exposure_s=0.02)),
    Claim(
        draw(
            bs.kinds.RandomObjects(spacing_px=8.0, size_px=6.0, keep=False, seed=3),
            bs.kinds.ObjectMotion(length_px=4.0, angle_deg=25.0, parts=2, seed=2),
        ),
        not_held=dict.fromkeys(("linearity", "channels", "derivatives"), MIXED) | {"flux": HIDDEN},
    ),
    Claim(
        **turned(lambda a: bs.kinds.RandomWalkMotion(heading_deg=a, **WALK), 25.0),
        strength=lambda s: bs.kinds.RandomWalkMotion(length_px=s, anxiety=0.005, seed=1),
    ),
    Claim(
        **turned(lambda a: bs.kinds.LinearMotion(length_px=7.0, angle_deg=a), 25.0),
        strength=lambda s: bs.kinds.LinearMotion(length_px=s, angle_deg=25.0),
    ),
    Claim(bs.kinds.AcceleratedMotion(speed_px=3.0, angle_deg=15.0, acceleration_px=5.0)),
    Claim(
        bs.kinds.GaussianProcessMotion(sigma_px=2.0, samples=50, seed=9),
        strength=lambda s: bs.kinds.GaussianProcessMotion(sigma_px=s, samples=50, seed=9),
    ),
    Claim(recording(), mirrored=recording),
    Claim(
        **turned(lambda a: bs.kinds.FrameAverage(frames=4, heading_deg=a, **WALK), 25.0),
        strength=lambda s: bs.kinds.FrameAverage(frames=4, length_px=s, anxiety=0.005, seed=1),
    ),
    Claim(
        bs.kinds.CameraShake(exposure_s=0.1, pitch_mrad=1.0, yaw_mrad=1.5, roll_mrad=40.0, x_mm=1.0, y_mm=0.5, seed=3),
        MOVED,
        {"flux": NOT_CONSERVED},
    ),
    Claim(
        bs.kinds.RollingShutter(exposure_s=0.05, readout_s=0.04, pitch_mrad=1.0, yaw_mrad=1.5, roll_mrad=40.0, seed=3),
        not_held={"flux": NOT_CONSERVED},
    ),
    Claim(gyroscope(), not_held={"flux": NOT_CONSERVED}, mirrored=gyroscope),
    Claim(gyroscope(), {"row_shift_px": -FOCAL_PX * RATE * ROW_S}, {"flux": NOT_CONSERVED}, of=pan_by_rows),
    Claim(
        **upright(bs.kinds.Zoom(scale=1.2)),
        not_held={"flux": NOT_CONSERVED},
        strength=lambda s: bs.kinds.Zoom(scale=1.0 + s / 20),
    ),
    Claim(
        **turned(lambda a: bs.kinds.GaussianBlur(sigma_px=1.5, aspect=0.5, angle_deg=a), 25.0),
        more={"strengths": (0.5, 1.0, 1.5)},
        strength=lambda s: bs.kinds.GaussianBlur(sigma_px=s),
    ),
    Claim(**upright(bs.kinds.DiskBlur(diameter_px=5.0)), strength=lambda s: bs.kinds.DiskBlur(diameter_px=2 * s)),
    Claim(
        **turned(lambda a: bs.kinds.PolygonBlur(diameter_px=6.0, blades=5, angle_deg=a), 25.0),
        strength=lambda s: bs.kinds.PolygonBlur(diameter_px=2 * s, blades=5),
    ),
    Claim(**upright(bs.kinds.AiryBlur(f_number=4.0, pixel_pitch_um=2.8))),
    *(
        Claim(
            bs.kinds.MeasuredBlur(kernel=bs.assets.register(KERNEL), border=border),  # type: ignore[arg-type]
            {"centered": False, "kernel": KERNEL},
            mirrored=lambda m, b=border: bs.kinds.MeasuredBlur(kernel=bs.assets.register(FLIPS[m](KERNEL)), border=b),
        )
        for border in ("reflect", "replicate", "circular", "constant")
    ),
    Claim(
        bs.kinds.MeasuredBlur(kernel=bs.assets.register(KERNEL[::-1, ::-1]), turn_180=True),
        {"centered": False, "kernel": KERNEL},
    ),
    Claim(
        **turned(
            lambda a: bs.kinds.GeneralizedGaussianBlur(
                sigma_px=1.5, sigma_across_px=0.7, angle_deg=a, shape=0.6, size_px=7
            ),
            25.0,
        ),
        strength=lambda s: bs.kinds.GeneralizedGaussianBlur(sigma_px=s, size_px=15),
    ),
    Claim(
        **turned(
            lambda a: bs.kinds.PlateauBlur(sigma_px=1.5, sigma_across_px=0.7, angle_deg=a, shape=1.5, size_px=7), 25.0
        ),
        strength=lambda s: bs.kinds.PlateauBlur(sigma_px=s, size_px=15),
    ),
    Claim(
        **upright(bs.kinds.SincBlur(cutoff_rad_per_px=1.5, size_px=7)),
        not_held=dict.fromkeys(("positivity", "value_range", "saturation"), LOBES),
    ),
    Claim(
        LENS,
        {**MOVED, "focus_distance_m": 2.0, "varies": False, "strengths": (0.25, 0.5, 1.0)},
        dict.fromkeys(("linearity", "channels", "derivatives", "occlusion"), MIXED),
        strength=lambda s: LENS.replace(f_number=2.0 / s if s else 1e3),
    ),
    Claim(
        **turned(lambda a: LENS.replace(angle_deg=a, form="gather"), 25.0),
        more={**MOVED, "focus_distance_m": 2.0, "varies": False},
        not_held={"no_glow": "each pixel reads light from around it, of whatever surface"},
    ),
    Claim(
        **turned(lambda a: LENS.replace(angle_deg=a, form="scatter"), 25.0),
        more={**MOVED, "focus_distance_m": 2.0, "varies": False},
        not_held={"occlusion": "light from behind is added to what is before it"}
        | dict.fromkeys(("constants", "value_range", "border", "saturation"), SCATTERED),
    ),
    Claim(
        PARALLAX,
        {**MOVED, "varies": False},
        dict.fromkeys(("linearity", "channels", "derivatives"), MIXED),
        strength=lambda s: PARALLAX.replace(length_mm=s / 4),
    ),
    Claim(
        **turned(lambda a: PARALLAX.replace(heading_deg=a, form="gather"), 25.0),
        more={**MOVED, "varies": False},
    ),
    Claim(bs.kinds.Rescale(factor=0.4, down="area", up="bilinear")),
    Claim(bs.kinds.GaussianNoise(sigma=0.05, seed=1), {"seed": "seed", "noise": Noise(gain=0.0, read_sigma=0.05)}),
    Claim(bs.kinds.PoissonNoise(peak=200.0, seed=1), {"seed": "seed", "noise": Noise(gain=1 / 200, read_sigma=0.0)}),
    Claim(
        draw(MOTION, SENSOR, bs.kinds.Develop()),
        {"seed": "seed", "noise": Noise(gain=1e-3, read_sigma=float(np.sqrt(25 + 1 / 48) / 1000))},
    ),
    Claim(STILL.replace(mosaic="GRBG"), {"linear": True, "mosaic": "GRBG"}, of=share_of_white(STILL)),
    Claim(draw(STILL.replace(mosaic="GRBG"), bs.kinds.Develop()), {"smallest_px": 2}),
    Claim(bs.kinds.Encode()),
    Claim(bs.kinds.GammaEncode()),
    Claim(bs.kinds.SigmoidEncode()),
    Claim(bs.kinds.MeasuredEncode.example()),
    Claim(
        **turned(
            lambda a: draw(
                bs.kinds.Decode(), MOTION.replace(angle_deg=a), STILL, bs.kinds.Develop(), bs.kinds.Encode()
            ),
            25.0,
        ),
        more={"light": "srgb", "accuracy": 0.5 / 255, "derivative": False},
    ),
    Claim(bs.kinds.Denoise(luma_codes=8.0, chroma_codes=20.0, luma_radius_px=1, chroma_radius_px=2)),
    Claim(bs.kinds.Sharpen(sigma_px=0.8, amount=1.5)),
    *(
        Claim(
            bs.kinds.Jpeg(quality=60),
            {"jpeg": lambda q, s=chroma: function_of(bs.kinds.Jpeg(quality=q, subsampling=s))},
        )
        for chroma in ("444", "422", "420")
    ),
    Claim(bs.kinds.Webp(quality=60, effort=0)),
    # Its kernel is normalized in the picture, which the record's own is not.
    Claim(DEBLURGAN, {"centered": False, "kernel": draw(DEBLURGAN).kernel(), "border": "constant"}),
)


def name(claim: Claim) -> str:
    return "+".join(s.kind for _, s in claim.step.steps) if isinstance(claim.step, bs.Draw) else claim.step.kind


def examined(claim: Claim, array: str, held: Iterable[Law], **how: Any) -> set[str]:
    """Fails with every law that is broken, and otherwise gives the statuses."""
    results = list(laws.examine(*claim.adapted(array), laws=held, **how))
    broken = [str(result) for result in results if result.status not in ("kept", "exempt", "not applicable")]
    assert not broken, "\n\n".join(broken)
    return {result.status for result in results}


def test_no_kind_is_left_out() -> None:
    steps = [[step for _, step in c.step.steps] if isinstance(c.step, bs.Draw) else [c.step] for c in TABLE]
    assert {type(step) for row in steps for step in row} == set(bs.kinds.ALL)


@pytest.mark.parametrize("claim", TABLE, ids=name)
def test_laws(claim: Claim) -> None:
    assert "kept" in examined(claim, "numpy", laws.ALL, profile=QUICK, power=False)


# Tensors of the CPU are worked on by the kernels of arrays, to the bit (tests/backends/test_every_backend.py).
OF_TENSORS = [law for law in laws.ALL if law.topic in ("program", "noise") or law is laws.linearity]


@pytest.mark.skipif(find_spec("torch") is None, reason="tensors need torch")
@pytest.mark.parametrize("claim", TABLE, ids=name)
def test_laws_of_tensors(claim: Claim) -> None:
    assert "kept" in examined(claim, "torch", OF_TENSORS, profile=QUICK, power=False)


def exemptions() -> list[Any]:
    return [pytest.param(c, law, id=f"{name(c)}-{law}") for c in TABLE for law in c.not_held]


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "law"), exemptions())
def test_no_law_is_left_out_that_holds(claim: Claim, law: str) -> None:
    """A reason that is no longer true is found."""
    if law == "derivatives":
        pytest.importorskip("torch", reason="derivatives need torch")
    function, adapter = claim.adapted("torch" if law == "derivatives" else "numpy")
    held = laws.find(law).examine(function, adapter.replace(exempt={}), profile=Profile(2000, 30.0), power=False)
    assert held.status == "violated"
