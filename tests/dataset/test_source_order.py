"""Every picture is used equally often up to one, and crops without detail may be left out."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import render
from blursynth.dataset.detail import detail_of
from blursynth.dataset.render import Renderer
from blursynth.dataset.schema import Spec
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding
from blursynth.records.streams import shuffled_place

CLEAN = bs.Recipe(
    [
        ("decode", bs.kinds.Decode()),
        ("lens", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.3, 2.0))),
        ("encode", bs.kinds.Encode()),
    ],
    name="clean",
)
LIGHT = bs.Recipe([("lens", bs.kinds.GaussianBlur(sigma_px=1.0))], name="light")


def pictures(folder: Path, sizes: list[int]) -> Path:
    rng = np.random.default_rng(1)
    for number, size in enumerate(sizes):
        bs.write_picture(folder / f"{number:02}.png", rng.uniform(size=(3, size, size)))
    return folder


def planned(sources: Path, recipe: bs.Recipe = CLEAN, **more: object) -> tuple[Spec, Renderer]:
    plan = dataset.plan(
        dataset.DatasetRequest(sources=sources, recipe=recipe, **{"count": 30, "size_px": 16, **more}),
        workers=1,
        trials=0,
    )  # type: ignore[arg-type]
    return plan.spec, Renderer(plan.spec, recipe, plan.scan.roots)


@pytest.mark.parametrize(
    ("cache_bytes", "kept"),
    [(7 * 96 * 48, [0, 0, 0, 0, 0]), (10 * 96 * 48, [0, 1, 1, 1, 1]), (16 * 96 * 48, [0, 1, 2, 3, 3])],
)
def test_the_cache_makes_room_before_a_picture_is_decoded(
    cache_bytes: int, kept: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding takes 7 bytes for each pixel of 8 bits, of which 3 stay: with the pictures that are kept, that is the
    most memory there is."""
    for number in range(5):
        bs.write_picture(tmp_path / f"{number}.png", np.random.default_rng(number).uniform(size=(3, 96, 48)))
    spec, planned_ = planned(tmp_path)
    renderer = Renderer(spec, CLEAN, planned_.roots, cache_bytes=cache_bytes)
    decode, while_decoding = render._pixels, []

    def watched(*arguments: Any) -> Any:
        while_decoding.append(len(renderer._cache))
        return decode(*arguments)

    monkeypatch.setattr(render, "_pixels", watched)
    for source in range(5):
        renderer.codes(source, 0, 0, 8, 8)
    assert while_decoding == kept


@pytest.mark.parametrize("encoding", ["display", "linear"])
def test_downscaled_some_rows_at_a_time_is_downscaled_as_a_whole(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "DOWNSCALED_ROWS", 5)
    bs.write_picture(tmp_path / "a.png", np.random.default_rng(1).uniform(size=(3, 191, 152)), bit_depth=16)
    _, renderer = planned(
        tmp_path, downscale=3, linear=encoding == "linear", recipe=CLEAN if encoding == "display" else LIGHT
    )
    whole = bs.downscale(bs.read_frame(tmp_path / "a.png", encoding=encoding), 3)
    part = renderer.region(0, 0, 0, 63, 50)
    np.testing.assert_allclose(part.image, whole.image, rtol=0, atol=1 / 65535)
    assert part.image.std() > 0.05


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 104])
def test_a_round_takes_each_thing_once_in_another_order_each_time(count: int) -> None:
    rounds = [
        [shuffled_place(turn * count + place, count, seed=5, name="source") for place in range(count)]
        for turn in (0, 1, 10**15)
    ]
    assert all(sorted(order) == list(range(count)) for order in rounds)
    assert count < 5 or len({tuple(order) for order in rounds}) == 3
    assert count < 5 or rounds[0] != [shuffled_place(i, count, seed=6, name="source") for i in range(count)]


def test_every_order_of_a_round_is_as_likely() -> None:
    """chi-squared of the 24 orders of four things: 23 degrees of freedom, 49.7 is exceeded once in a thousand."""
    orders = Counter(
        tuple(shuffled_place(4 * turn + place, 4, seed=2, name="source") for place in range(4)) for turn in range(2400)
    )
    assert set(orders) == set(itertools.permutations(range(4)))
    assert sum((n - 100) ** 2 / 100 for n in orders.values()) < 49.7


def test_every_picture_is_used_equally_often_up_to_one(tmp_path: Path) -> None:
    _, renderer = planned(pictures(tmp_path, [40] * 12), count=500)
    used: Counter[int] = Counter()
    for i in range(60):
        used[renderer.place(i).source] += 1
        assert max(used.values()) - (min(used.values()) if len(used) == 12 else 0) <= 1
    # Whoever asks, in whatever order.
    assert [renderer.place(i).source for i in (59, 3, 17)] == [
        planned(tmp_path, count=70)[1].place(i).source for i in (59, 3, 17)
    ]


def test_crops_that_share_a_picture_are_equally_many_too(tmp_path: Path) -> None:
    _, renderer = planned(pictures(tmp_path, [40] * 5), count=60, crops_per_source=3)
    sources = [renderer.place(i).source for i in range(60)]
    assert all(len(set(sources[i : i + 3])) == 1 for i in range(0, 60, 3))
    assert set(Counter(sources).values()) == {12}


def test_the_turn_of_a_picture_that_is_too_small_goes_to_others_in_turn(tmp_path: Path) -> None:
    """Every draw reaches further than two of the pictures allow: in each round their turns go to different others."""
    wide = bs.Recipe(
        [("decode", bs.kinds.Decode()), ("lens", bs.kinds.DiskBlur(diameter_px=11.0)), ("encode", bs.kinds.Encode())]
    )
    spec, renderer = planned(pictures(tmp_path, [20, 20, 60, 60, 60, 60, 60]), wide, count=70)
    large = [i for i, source in enumerate(spec.sources) if source.height == 60]
    used = Counter(renderer.place(i).source for i in range(70))
    assert sorted(used) == large
    # 10 turns of their own; the 20 of the small ones are spread by rounds of five, where 70 draws with replacement
    # would have a standard deviation of 3.3.
    assert all(12 <= used[source] <= 16 for source in large), used


def test_detail_is_that_of_a_known_pattern() -> None:
    columns = np.arange(41)
    # A wave with k rad/px along columns: its Laplacian has (2 - 2 cos k) times its amplitude, the standard deviation
    # of a sine is 1/sqrt(2) of that; the luma of gray is the value itself.
    wave = np.broadcast_to(0.5 + 0.1 * np.sin(2 * np.pi / 8 * columns), (3, 40, 41))
    expected = 255 * 0.1 * (2 - 2 * np.cos(2 * np.pi / 8)) / np.sqrt(2)
    assert detail_of(wave, Encoding.DISPLAY) == pytest.approx(expected, rel=0.02)
    assert detail_of(np.full((3, 8, 8), 0.7), Encoding.DISPLAY) == pytest.approx(0.0, abs=1e-4)
    # scipy's Laplacian of Rec. 601 luma.
    noise = np.random.default_rng(3).uniform(size=(3, 30, 30))
    luma = 255 * np.tensordot((0.299, 0.587, 0.114), noise, 1)
    assert detail_of(noise, Encoding.DISPLAY) == pytest.approx(ndimage.laplace(luma)[1:-1, 1:-1].std(), rel=1e-4)
    # Light is metered, so that its exposure does not matter.
    light = np.random.default_rng(4).uniform(size=(3, 30, 30)).astype(np.float32) * 0.1
    assert detail_of(light * 7.0, Encoding.LINEAR) == pytest.approx(detail_of(light, Encoding.LINEAR), rel=1e-3)
    assert detail_of(np.zeros((3, 8, 8), np.float32), Encoding.LINEAR) == 0.0


@pytest.fixture(scope="module")
def half_flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures with structure on the left and sky on the right, and one that is out of focus."""
    folder = tmp_path_factory.mktemp("half")
    rng = np.random.default_rng(2)
    for number in range(4):
        grain = rng.uniform(0.2, 0.8, size=(3, 96, 192))
        grain[:, :, 96:] = 0.6 + 0.02 * number
        if number == 3:
            grain = np.clip(ndimage.gaussian_filter(grain, (0, 8, 8)), 0, 1)
        bs.write_picture(folder / f"{number}.png", grain)
    return folder


def test_crops_without_detail_are_left_out(half_flat: Path, tmp_path: Path) -> None:
    wishes = {"count": 24, "size_px": 32, "seed": 3, "shard_length": 7}
    report = dataset.generate(
        dataset.DatasetRequest(sources=half_flat, recipe=CLEAN, min_detail=10.0, **wishes), tmp_path / "out", workers=1
    )  # type: ignore[arg-type]
    opened = bs.open_dataset(tmp_path / "out")
    assert opened.spec.min_detail == 10.0
    blank = dataset.plan(dataset.DatasetRequest(sources=half_flat, recipe=CLEAN, **wishes), workers=1, trials=0)  # type: ignore[arg-type]
    unfiltered = Renderer(blank.spec, CLEAN, blank.scan.roots)
    passed_over = 0
    for i, sample in enumerate(opened):
        before = bs.read_frame(half_flat / sample.source)
        crop = before.crop(sample.window.top, sample.window.left, 32, 32)
        assert detail_of(crop.image[0], Encoding.DISPLAY) >= 10.0
        assert sample.source != "3.png"
        passed_over += sample.record["passed_over"]
        # The draw is that of the sample, and what had enough detail stays where it was.
        placement = unfiltered.place(i)
        assert placement.draw == sample.draw
        assert (sample.record["passed_over"] == 0) is (unfiltered.detail(placement) >= 10.0)
        if sample.record["passed_over"] == 0:
            assert placement.window == sample.window
    assert passed_over > 0
    assert report.passed_over == pytest.approx(passed_over / (passed_over + 24))
    assert "less detail than 10" in (tmp_path / "out" / "README.md").read_text()
    assert dataset.verify(tmp_path / "out", deep=True, replay=24).ok
    online = dataset.OnlineDataset(
        dataset.DatasetRequest(sources=half_flat, recipe=CLEAN, size_px=32, seed=3, min_detail=10.0), workers=1
    )
    assert (online[7].blurred == opened[7].blurred).all()
    assert online.passed_over is not None
    assert 0 < online.passed_over < 1


def test_a_limit_that_nothing_reaches_is_told_before_anything_is_written(half_flat: Path, tmp_path: Path) -> None:
    wishes = {"count": 4, "size_px": 32}
    with pytest.raises(InvalidValueError, match=r"min_detail 2000 is more than any of the 512 windows"):
        dataset.generate(
            dataset.DatasetRequest(sources=half_flat, recipe=CLEAN, min_detail=2000.0, **wishes),
            tmp_path / "out",
            workers=1,
        )  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    for wrong in (0, -1.0, True, float("nan")):
        with pytest.raises(InvalidValueError, match=r"min_detail must be (> 0|a number|a finite number)"):
            dataset.DatasetRequest(sources=half_flat, recipe=CLEAN, min_detail=wrong, **wishes)  # type: ignore[arg-type]
    begun = dataset.generate(
        dataset.DatasetRequest(sources=half_flat, recipe=CLEAN, **wishes), tmp_path / "out", workers=1
    )  # type: ignore[arg-type]
    assert begun.passed_over is None
    with pytest.raises(bs.DatasetError, match=r"min_detail \(None there, 10.0 now\)"):
        dataset.generate(
            dataset.DatasetRequest(sources=half_flat, recipe=CLEAN, min_detail=10, **wishes),
            tmp_path / "out",
            workers=1,
        )  # type: ignore[arg-type]
