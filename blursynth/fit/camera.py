"""What is known of a camera after measuring its photographs, and the steps of a recipe that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Camera", "Range", "Step", "camera_steps"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Step:
    """A step of a recipe in the making: plain values as in TOML, and how each was found."""

    name: str
    values: dict[str, Any]
    how: dict[str, str] = field(default_factory=dict)
    comment: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **self.values}


@dataclass(frozen=True)
class Camera:
    """Ranges of the parameters of a camera over its photographs.

    Parameters
    ----------
    lens_sigma_px
        Blur of lens and pixels that the sharpest edges have, standard deviation of a Gaussian in px.
    full_well_e, read_noise_e
        Electrons at white, and read noise.
    smoothing_sigma_px
        Smoothing of all channels after demosaicking.
    luma_codes, chroma_codes
        Strength of the noise reduction.
    sharpen
        Sigma in px and amount of an unsharp mask; None if none was seen.
    jpeg
        (quality, subsampling, share); empty if the files are not JPEG.
    gray
        Whether the photographs have no color.
    curve
        Exponent, midtone and contrast of a sigmoid response curve; by default those of the recipe ``default``, which
        reach from linear to as strong as measured ones.
    how
        How each was found, by its name.
    """

    lens_sigma_px: Range = (0.4, 0.8)
    full_well_e: Range = (1000.0, 20000.0)
    read_noise_e: Range = (1.0, 4.0)
    smoothing_sigma_px: Range = (0.4, 0.6)
    luma_codes: Range = (0.3, 2.0)
    chroma_codes: Range = (2.0, 15.0)
    sharpen: tuple[Range, Range] | None = None
    jpeg: tuple[tuple[int, str, float], ...] = ()
    gray: bool = False
    curve: tuple[Range, Range, Range] = ((0.9, 1.4), (0.3, 0.7), (0.0, 0.5))
    how: dict[str, str] = field(default_factory=dict)


def _log_range(values: Range) -> Any:
    low, high = (float(f"{v:.4g}") for v in values)
    return low if low == high else {"log_uniform": [low, high]}


def _uniform(values: Range) -> Any:
    low, high = values
    return low if low == high else {"uniform": [low, high]}


_COLORS = {  # as in the recipe `default`
    "mosaic": {"choice": ["RGGB", "BGGR", "GRBG", "GBRG"]},
    "red_gain": {"uniform": [1.9, 2.4]},
    "blue_gain": {"uniform": [1.5, 1.9]},
    "red_from_green": {"uniform": [-0.9, -0.4]},
    "red_from_blue": {"uniform": [-0.2, 0.0]},
    "green_from_red": {"uniform": [-0.3, -0.1]},
    "green_from_blue": {"uniform": [-0.5, -0.2]},
    "blue_from_red": {"uniform": [-0.1, 0.1]},
    "blue_from_green": {"uniform": [-0.7, -0.3]},
}


def camera_steps(camera: Camera, blur: list[Step]) -> list[Step]:
    """The steps of a recipe in the order of light: decoding, ``blur`` (lens and shake), sensor, development, file."""
    how = camera.how
    curve = dict(zip(("exponent", "midtone", "contrast"), map(_uniform, camera.curve), strict=True))
    seen = {name: how.get("curve", "prior, as in the recipe default") for name in curve}
    steps = [Step("decode", {"kind": "sigmoid_decode", **curve}, seen), *blur]
    sensor: dict[str, Any] = {
        "kind": "sensor",
        "full_well_e": _log_range(camera.full_well_e),
        "read_noise_e": {"uniform": [float(f"{v:.3g}") for v in camera.read_noise_e]},
        "bit_depth": 12,
        **({} if camera.gray else _COLORS),
    }
    steps.append(Step("sensor", sensor, {name: how.get(name, "prior, as in the recipe default") for name in sensor}))
    steps.append(Step("develop", {"kind": "develop", **({} if camera.gray else {"demosaic": "edge_aware"})}))
    smoothing = {"kind": "gaussian_blur", "sigma_px": _log_range(camera.smoothing_sigma_px)}
    steps.append(Step("smoothing", smoothing, {"sigma_px": how.get("smoothing_sigma_px", "prior")}))
    same = {name: {"same_as": f"decode.{name}"} for name in curve}
    steps.append(Step("encode", {"kind": "sigmoid_encode", **same}))
    denoise = {
        "kind": "denoise",
        "luma_codes": _log_range(camera.luma_codes),
        "chroma_codes": 0.0 if camera.gray else _log_range(camera.chroma_codes),
        "luma_radius_px": 2,
        "chroma_radius_px": 3,
    }
    steps.append(Step("denoise", denoise, {name: how.get(name, "prior") for name in denoise}))
    if camera.sharpen is not None:
        sigma, amount = camera.sharpen
        values = {
            "kind": "sharpen",
            "sigma_px": _log_range(sigma),
            "amount": {"uniform": [round(v, 3) for v in amount]},
        }
        steps.append(Step("sharpen", values, {name: how.get("sharpen", "prior") for name in values}))
    if camera.jpeg:
        qualities, samplings, shares = zip(*camera.jpeg, strict=True)
        by_sampling = {s: sum(w for _, t, w in camera.jpeg if t == s) for s in dict.fromkeys(samplings)}
        by_quality = {q: sum(w for p, _, w in camera.jpeg if p == q) for q in dict.fromkeys(qualities)}
        jpeg = {"kind": "jpeg", "quality": _chosen(by_quality), "subsampling": _chosen(by_sampling)}
        steps.append(Step("jpeg", jpeg, {name: how.get("jpeg", "prior") for name in jpeg}))
        _ = shares
    return steps


def _chosen(shares: dict[Any, float]) -> Any:
    if len(shares) == 1:
        return next(iter(shares))
    return {"choice": list(shares), "weights": [round(w, 4) for w in shares.values()]}
