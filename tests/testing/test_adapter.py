"""Functions of every form are seen as functions of pictures [C, H, W], 1 = white."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blursynth.errors import InvalidValueError
from blursynth.testing import Adapter, Noise, laws
from blursynth.testing.adapter import LAYOUTS, Blur

KERNEL_ROW = (0.25, 0.5, 0.25)


def shifted_down(axis: int) -> Any:
    """Moves a picture one row down, black above: in any layout, by the axis of rows."""

    def blur(image: Any) -> Any:
        out = np.zeros_like(image)
        here, there = [slice(None)] * image.ndim, [slice(None)] * image.ndim
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        out[tuple(here)] = image[tuple(there)]
        return out

    return blur


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535), ("float32", 1), ("float64", 255)])
def test_layouts_and_types(layout: str, dtype: str, white: float) -> None:
    seen: list[np.ndarray] = []
    move = shifted_down(layout.index("H"))

    def blur(image: np.ndarray) -> np.ndarray:
        seen.append(image)
        return move(image)

    adapter = Adapter(layout=layout, dtype=dtype, white=white if white == 255 else None)
    picture = np.zeros((adapter.channels, 3, 5))
    picture[-1, 1, 4] = 1.0
    picture[0, 0, 2] += 1 / 5 if dtype != "uint8" else 51 / 255
    out = Blur(blur, adapter)(picture)
    assert seen[0].dtype == dtype
    assert seen[0].ndim == len(layout)
    assert seen[0].max() == white
    assert seen[0].shape[layout.index("H")] == 3
    assert seen[0].shape[layout.index("W")] == 5
    assert out.shape == picture.shape
    assert out[-1, 2, 4] == pytest.approx(1.0)
    assert out[0, 1, 2] == pytest.approx(picture[0, 0, 2], abs=1e-4)


def test_light_is_encoded_and_decoded() -> None:
    seen: list[float] = []

    def blur(image: np.ndarray) -> np.ndarray:
        seen.append(float(image.max()))
        return image

    out = Blur(blur, Adapter(light="srgb"))(np.full((3, 2, 2), 0.5))
    assert seen == [pytest.approx(0.7354, abs=1e-4)]
    assert out == pytest.approx(0.5, abs=1e-6)


def test_the_type_of_white_follows_the_type() -> None:
    assert Adapter().replace(dtype="uint8").white_of("uint8") == 255
    assert Adapter(dtype="uint8").white_of("float32") == 1


def test_reach_is_measured_to_the_faintest_end() -> None:
    def blur(image: np.ndarray) -> np.ndarray:
        out = image * (1 - 2e-6)
        out[7:] += np.float64(1e-6) * image[:-7]
        out[:-7] += np.float64(1e-6) * image[7:]
        return out

    assert Blur(blur, Adapter(dtype="float64")).reach_px == 7


def test_a_blur_without_end_must_say_its_reach() -> None:
    blur = Blur(lambda image: image + image.mean(), Adapter(dtype="float64"))
    with pytest.raises(InvalidValueError, match=r"Give Adapter\(reach_px=...\)"):
        _ = blur.reach_px


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": "WHC"}, "Adapter.layout must be one of"),
        ({"dtype": "int32"}, "Adapter.dtype must be one of"),
        ({"border": "mirror"}, "Adapter.border must be one of"),
        ({"kernel": np.ones((2, 3))}, "odd height and width"),
        ({"mosaic": "RGGX"}, "four letters of R, G and B"),
        ({"channels": 0}, "Adapter.channels must be at least 1 and finite, got 0"),
        ({"smallest_px": 0}, "Adapter.smallest_px must be at least 1 and finite, got 0"),
        ({"accuracy": float("inf")}, "Adapter.accuracy must be above 0 and finite, got inf"),
        ({"accuracy": float("nan")}, "Adapter.accuracy must be above 0 and finite, got nan"),
        ({"white": 0}, "Adapter.white must be above 0 and finite, got 0"),
        ({"reach_px": -1}, "Adapter.reach_px must be at least 0 and finite, got -1"),
        ({"strengths": (1.0,)}, "Adapter.strengths must be two or more numbers above 0"),
    ],
)
def test_bad_adapters(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Adapter(**fields)


def test_bad_noise_and_profiles() -> None:
    with pytest.raises(InvalidValueError, match=r"Noise\.gain must be at least 0 and finite, got -0\.1"):
        Noise(gain=-0.1, read_sigma=0.0)
    with pytest.raises(InvalidValueError, match=r"There is no profile 'thorogh'\. Did you mean 'thorough'\?"):
        laws.shapes.check(lambda image: image, profile="thorogh")


def test_a_result_that_is_no_tensor_is_named() -> None:
    pytest.importorskip("torch", reason="tensors need torch")
    adapter = Adapter(array="torch", layout="CHW")
    result = laws.shapes.examine(lambda image: image.numpy(), adapter)
    assert result.status == "failed"
    assert "must give a tensor, got ndarray" in result.why


def test_an_exemption_of_no_law_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"There is no law 'linearty'\. Did you mean 'linearity'\?"):
        list(laws.examine(lambda image: image, Adapter(exempt={"linearty": "not claimed"})))


def test_exempt_and_inapplicable_laws_say_why() -> None:
    adapter = Adapter(exempt={"linearity": "a median"})
    exempt, inapplicable = (law.examine(lambda image: image, adapter) for law in (laws.linearity, laws.adjoint))
    assert (exempt.status, exempt.why) == ("exempt", "a median")
    assert (inapplicable.status, inapplicable.why) == ("not applicable", "Adapter.adjoint is not given")


def test_an_error_of_the_function_is_a_result() -> None:
    def blur(image: np.ndarray) -> np.ndarray:
        if image.shape[0] < 3:
            raise ValueError("too small")
        return image

    result = laws.shapes.examine(blur, Adapter())
    assert (result.status, result.why) == ("failed", "ValueError: too small")
    assert result.case is not None
    assert result.case["x"].shape[1] <= 2
    with pytest.raises(laws.LawViolation, match="too small"):
        laws.shapes.check(blur, Adapter())
    assert laws.shapes.examine(blur, Adapter(smallest_px=3)).status == "kept"


@pytest.mark.parametrize("wrong", [lambda image: image[0], lambda image: image.astype(np.int32), lambda image: None])
def test_results_of_another_form_are_failures(wrong: Any) -> None:
    assert laws.shapes.examine(wrong, Adapter()).status == "failed"


def test_a_law_that_could_see_nothing_is_blind() -> None:
    # Any picture is refused but black ones.
    adapter = Adapter(dtype="float64")
    result = laws.linearity.examine(lambda image: 0 * image, adapter)
    assert result.status == "blind"
    assert result.power is None
