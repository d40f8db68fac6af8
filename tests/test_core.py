"""Records, draws and the frame."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import BlursynthError, InvalidValueError, RecipeError
from blursynth.testing import pictures


class Brighten(bs.Degradation):
    """A kind of somebody else's."""

    factor: float

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: bs.Frame) -> bs.Frame:
        factors = np.array([s.factor for s in steps], frame.image.dtype)
        return frame.with_image(frame.image * factors[:, None, None, None])

    def target(self) -> bs.Degradation:
        return self


def test_records_compare_and_hash_by_value() -> None:
    assert (
        bs.kinds.GaussianBlur(sigma_px=1.0)
        == bs.kinds.GaussianBlur(sigma_px=1.0)
        != bs.kinds.GaussianBlur(sigma_px=2.0)
    )
    assert len({bs.kinds.GaussianBlur(sigma_px=1.0), bs.kinds.GaussianBlur(sigma_px=1)}) == 1


def test_records_are_immutable() -> None:
    with pytest.raises(Exception, match="frozen"):
        bs.kinds.GaussianBlur(sigma_px=1.0).sigma_px = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sigma_px": -1.0}, r"GaussianBlur.sigma_px must be >= 0.0, got -1.0"),
        ({"sigma_px": "2"}, "must be a number, got '2'"),
        ({"sigma_px": True}, "must be a number, got True"),
        ({"sigma_px": float("nan")}, "must be a finite number, got nan"),
        ({"sigma_px": float("inf")}, "must be a finite number, got inf"),
        ({"sigma": 1.0}, "has no field 'sigma'. Did you mean 'sigma_px'"),
        ({}, "GaussianBlur needs sigma_px"),
        (
            {"sigma_px": 1.0, "border": "mirror"},
            "must be 'reflect', 'replicate', 'circular' or 'constant', got 'mirror'",
        ),
        ({"sigma_px": 1.0, "aspect": 1.5}, r"must be <= 1.0, got 1.5"),
    ],
)
def test_messages_say_what_and_got(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        bs.kinds.GaussianBlur(**fields)


def test_numpy_scalars_are_taken() -> None:
    record = bs.kinds.Jpeg(quality=np.int64(80))
    assert record == bs.kinds.Jpeg(quality=80)
    assert type(record.quality) is int


def test_replace_validates() -> None:
    assert bs.kinds.GaussianBlur(sigma_px=1.0).replace(sigma_px=2.0).sigma_px == 2.0
    with pytest.raises(InvalidValueError):
        bs.kinds.GaussianBlur(sigma_px=1.0).replace(sigma_px=-2.0)


def test_errors_survive_process_borders() -> None:
    error = InvalidValueError("what.", why="why.", fix="fix.")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes, as process pools send them)
    assert str(again) == "what. why. fix."
    assert isinstance(again, InvalidValueError)
    assert isinstance(again, BlursynthError)
    assert isinstance(again, ValueError)


def test_a_draw_runs_steps_of_several_kinds_in_one_batch() -> None:
    frame = pictures(batch=3)
    draws = [
        bs.Draw((("a", bs.kinds.GaussianBlur(sigma_px=1.0)),)),
        bs.Draw((("a", bs.kinds.Identity()),)),
        bs.Draw((("a", bs.kinds.GaussianBlur(sigma_px=2.0, border="circular")),)),
    ]
    together = bs.apply(draws, frame)
    for b, draw in enumerate(draws):
        assert np.array_equal(together.image[b], draw(frame[b]).image[0])


def test_apply_refuses_what_does_not_fit() -> None:
    frame = pictures(batch=2)
    draw = bs.Draw((("a", bs.kinds.Identity()),))
    with pytest.raises(InvalidValueError, match="one draw per picture, got 1 for 2"):
        bs.apply([draw], frame)
    with pytest.raises(InvalidValueError, match="one recipe"):
        bs.apply([draw, bs.Draw(())], frame)


def test_margin_gives_the_window_of_the_whole() -> None:
    frame = pictures(bs.Encoding.DISPLAY, batch=1, size_px=(90, 100))
    draw = bs.Draw(
        (
            ("decode", bs.kinds.Decode()),
            ("shake", bs.kinds.LinearMotion(length_px=9.0, angle_deg=30.0)),
            ("sensor", bs.kinds.Sensor(full_well_e=2000.0, read_noise_e=2.0, row_noise_e=1.0, seed=3)),
            ("develop", bs.kinds.Develop()),
            ("encode", bs.kinds.Encode()),
            ("jpeg", bs.kinds.Jpeg(quality=70)),
        )
    )
    reach = draw.reach_px(frame)
    assert reach is not None
    whole = draw(frame).image[..., 30:50, 34:60]
    window = frame.crop(30 - reach, 34 - reach, 20 + 2 * reach, 26 + 2 * reach)
    assert np.abs(draw(window, margin_px=reach).image - whole).max() <= 1e-6
    pair = draw.pair(window, margin_px=reach)
    assert np.array_equal(pair.sharp.image, frame.image[..., 30:50, 34:60])
    assert pair.sharp.origin_px.tolist() == pair.blurred.origin_px.tolist() == [[30, 34]]
    with pytest.raises(InvalidValueError, match="at least the reach"):
        draw(window, margin_px=3)


def test_the_target_keeps_white_clip_and_drops_noise_and_blur() -> None:
    frame = pictures(batch=1)
    bright = frame.with_image(frame.image * 1.5)
    draw = bs.Draw(
        (
            ("blur", bs.kinds.GaussianBlur(sigma_px=2.0)),
            ("sensor", bs.kinds.Sensor(full_well_e=1000.0, read_noise_e=5.0, seed=1)),
            ("develop", bs.kinds.Develop()),
        )
    )
    sharp = draw.pair(bright).sharp
    assert np.allclose(sharp.image, np.minimum(bright.image, 1.0), atol=1e-6)


class HalfLight(bs.kinds.GaussianBlur):
    """A kind that extends one of ours, with an apply of its own."""

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: bs.Frame) -> bs.Frame:
        blurred = super().apply(steps, frame)
        return blurred.with_image(blurred.image / 2)


def test_the_apply_of_a_kind_that_extends_another_counts_in_windows_too() -> None:
    frame = bs.Frame(np.random.default_rng(3).random((3, 40, 50), np.float32), "linear")
    draw = bs.Draw((("half", HalfLight(sigma_px=1.0)),))
    window = (12, 9, 10, 20)
    assert np.array_equal(draw(frame, window=window).image, draw(frame).crop(*window).image)


def test_people_may_bring_their_own_kinds(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.toml"
    path.write_text('[[step]]\nkind = "brighten"\nfactor = { uniform = [1.5, 2.0] }\n')
    recipe = bs.load_recipe(path, kinds=(*bs.kinds.ALL, Brighten))
    frame = pictures()
    draw = recipe.sample(frame, seed=1, index=0)
    assert 1.5 <= draw["brighten"].fields()["factor"] <= 2.0
    assert draw(frame).image.mean() > frame.image.mean()
    with pytest.raises(RecipeError, match="There is no kind 'brighten'"):
        bs.load_recipe(path)


def test_misuse_is_explained() -> None:
    with pytest.raises(InvalidValueError, match="acts on a Frame, got ndarray"):
        bs.kinds.LinearMotion(length_px=3.0)(np.zeros((3, 4, 4), np.float32))  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"got the distribution .* write Random\(LinearMotion, length_px="):
        bs.kinds.LinearMotion(length_px=bs.Uniform(1.0, 2.0))
    with pytest.raises(RecipeError, match="Random takes a kind of degradation, got 'linear_motion'"):
        bs.Random("linear_motion", length_px=3.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="must be one of 'linear', 'raw', 'display', got 'srgb'"):
        bs.Frame(np.zeros((3, 4, 4), np.float32), "srgb")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda frame: bs.load_recipe("default").sample(frame.image, seed=0, index=0), "acts on a Frame, got ndarray"),
        (lambda frame: bs.load_recipe("default", changes="shake.length_px=3"), "changes must map step.field"),
        (lambda frame: bs.load_recipe("default", kinds=bs.kinds.Jpeg), "kinds must be a list of degradations"),
        (lambda frame: bs.load_recipe("default", kinds=["jpeg"]), "got 'jpeg' in it"),
        (lambda frame: bs.Recipe(bs.kinds.Decode()), "list of steps, got Decode"),
        (lambda frame: bs.Recipe({"lens": bs.kinds.Decode()}), "list of steps, got dict"),
        (lambda frame: bs.Recipe([bs.kinds.Decode]), "got the class Decode itself"),
        (lambda frame: bs.Recipe.from_dict("default"), "a table with steps, got str"),
        (lambda frame: bs.OneOf(bs.kinds.Decode(), bs.kinds.Identity()), "pairs of a weight and a sampler, got Decode"),
        (lambda frame: bs.OneOf((bs.kinds.Identity(), 1.0)), "pairs of a weight and a sampler"),
        (lambda frame: bs.OneOf(("1", bs.kinds.Identity())), "pairs of a weight and a sampler"),
        (lambda frame: bs.apply(bs.Draw(()), frame), "apply takes a list of draws, one per picture, got one Draw"),
        (lambda frame: bs.apply([bs.kinds.Decode()], frame), "got Decode"),
        (lambda frame: bs.Draw.from_dict({"steps": []}, bs.kinds.ALL), "a table with a list of steps"),
        (lambda frame: bs.Draw.from_dict({"step": [3]}, bs.kinds.ALL), "a table with a list of steps"),
        (lambda frame: bs.Frame.stack([]), "at least one"),
        (lambda frame: bs.Frame.stack([frame.image]), "list of frames"),
        (lambda frame: frame.crop(0.5, 0, 4, 4), "integers in px"),
    ],
)
def test_common_slips_are_explained(misuse: Callable[[bs.Frame], object], message: str) -> None:
    frame = pictures(batch=1, size_px=(8, 8), encoding=bs.Encoding.DISPLAY)
    with pytest.raises(BlursynthError, match=message):
        misuse(frame)


def test_steps_may_be_named_after_their_kind() -> None:
    recipe = bs.Recipe([bs.kinds.Decode(), ("lens", bs.kinds.GaussianBlur(sigma_px=1.0)), bs.Random(bs.kinds.Encode)])
    assert [name for name, _ in recipe.steps] == ["decode", "lens", "encode"]
    with pytest.raises(RecipeError, match="a sampler or a degradation"):
        bs.Recipe(["decode"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("picture.png", r"must be an array \[B, C, H, W\], got str"),
        (np.zeros((3, 4, 4), np.uint8), "must be float32 or float64, got uint8"),
        (np.zeros((0, 3, 4, 4), np.float32), "is empty"),
        (np.zeros((480, 640, 3), np.float32), "looks like channels-last"),
        (np.zeros((1, 1, 3, 4, 4), np.float32), "must be an array"),
    ],
)
def test_frames_refuse_other_shapes(image: object, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        bs.Frame(image, bs.Encoding.LINEAR)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (np.full((5, 6), 2.0), "must have the picture's shape"),
        (np.full((4, 4), np.nan), "holds no finite value"),
        (np.array([[0.0] + [1.0] * 3] * 4), "must be finite and > 0"),
        (np.full((4, 4), -1.0), "must be finite and > 0"),
        (np.array([[np.inf] + [1.0] * 3] * 4), "must be finite and > 0"),
    ],
)
def test_frames_refuse_bad_depth(depth: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        bs.Frame(np.zeros((3, 4, 4), np.float32), bs.Encoding.LINEAR, depth_m=depth)


def test_crop_and_index_move_the_origin_along() -> None:
    frame = pictures(batch=3, size_px=(20, 30))
    part = frame.crop(4, 5, 6, 7).crop(1, 1, 2, 3)
    assert part.origin_px.tolist() == [[5, 6]] * 3
    assert part.full_size_px.tolist() == [[20, 30]] * 3
    assert np.array_equal(part.image, frame.image[..., 5:7, 6:9])
    assert np.array_equal(frame[-1].image, frame.image[2:])
    assert np.array_equal(bs.Frame.stack(list(frame)).image, frame.image)
    with pytest.raises(InvalidValueError, match="extends beyond"):
        frame.crop(15, 0, 6, 6)


@pytest.mark.parametrize(
    "values",
    [{}, {"step": 1}, {"step": ["x"]}, {"step": {"a": 1}}, {"step": [{"kind": 7}]}, {"step": [{"name": 1, "kind": "identity"}]},
     {"step": [], "target": []}],
)  # fmt: skip
def test_what_is_no_draw_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(bs.BlursynthError):
        bs.Draw.from_dict(values, bs.kinds.ALL)
