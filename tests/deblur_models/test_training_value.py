"""The benchmark of training value counts what it says it counts; its figures need real pairs and an hour."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("safetensors", reason="it keeps trained networks")

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def stick() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("training_value")


def test_each_ablation_is_a_recipe_of_its_own(stick: ModuleType) -> None:
    recipes = {name: stick.ablated(name, change) for name, change in stick.ablation().items()}
    plain = recipes.pop("default")
    assert len({stick.slug(engine, 1) for engine in recipes.values()}) == len(recipes)
    for name, engine in recipes.items():
        assert engine.key != plain.key, name


def test_runs_are_named_by_what_they_depend_on(stick: ModuleType) -> None:
    one, other = (stick.peer_engine("peer", lambda codes, seed: codes, 2, strength=s) for s in (1, 2))
    assert stick.slug(one, 1) != stick.slug(other, 1)
    assert stick.slug(one, 1) != stick.slug(one, 2)


def test_the_two_pictures_of_a_peer_show_the_same_pixels(
    stick: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (150, 170, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), codes)

    def marked(window: Any, seed: int) -> Any:  # its margin must be cut off
        framed = np.full_like(window, 7)
        framed[5:-5, 5:-5] = window[5:-5, 5:-5]
        return framed

    monkeypatch.setattr(stick, "PAIRS", 3)
    sharp, blurred = stick.peer_engine("marked", marked, 5).make([tmp_path / "a.png"], 1)
    assert sharp.shape == (3, stick.PAIR_PX, stick.PAIR_PX, 3)
    np.testing.assert_array_equal(sharp, blurred)
    windows = np.lib.stride_tricks.sliding_window_view(codes[..., 2], (stick.PAIR_PX, stick.PAIR_PX))
    assert all((windows == red).all(axis=(2, 3)).any() for red in sharp[..., 0])  # the file's order is BGR


def test_crops_are_aligned_and_every_pair_is_seen_before_any_is_repeated(stick: ModuleType) -> None:
    number = 3 * stick.BATCH
    rng = np.random.default_rng(1)
    sharp = rng.integers(0, 200, (number, 100, 104, 3), np.uint8)
    sharp[..., 0] = np.arange(number)[:, None, None]  # red says which pair it is
    seen: list[int] = []
    turned = 0
    for _, (blurred, clear) in zip(range(3), stick.batches((sharp, sharp + np.uint8(50)), 1), strict=False):
        assert blurred.shape == clear.shape == (stick.BATCH, 3, stick.PATCH_PX, stick.PATCH_PX)
        np.testing.assert_allclose((blurred - clear).numpy() * 255, 50, atol=1e-3)
        for patch in clear.numpy() * 255:
            seen.append(which := int(patch[0, 0, 0].round()))
            windows = np.lib.stride_tricks.sliding_window_view(sharp[which, ..., 1], patch.shape[1:])
            turned += not (windows == patch[1].round()).all(axis=(2, 3)).any()
    assert sorted(seen) == list(range(number))
    assert turned > number // 2  # an eighth is neither turned nor mirrored


def test_the_table_has_means_and_extremes(stick: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    empty: Any = None
    pairs = [stick.RealPair(name, group, empty, empty, False) for name, group in (("a", "A"), ("b", "B"), ("c", "B"))]
    monkeypatch.setattr(stick, "real_pairs", lambda folder: pairs)
    monkeypatch.setattr(stick, "real_data", lambda: Path())

    def run(engine: str, seed: int, **gains: float) -> dict[str, Any]:
        fixed = {"unharmed_db": {"sharp": [40.0, 44.0]}, "psnr_of_pairs_db": 30.0}
        return {"engine": engine, "seed": seed, "gain_db": gains, **fixed, "seconds": {"pairs": 30.0, "training": 90.0}}

    rows = stick.report([
        run("one", 1, a=0.2, b=-0.5, c=0.1), run("one", 2, a=0.4, b=-0.1, c=0.1),
        run("halves", 1, a=1.0, b=0.5), run("halves", 1, a=2.0, c=0.3),  # the upper bound: a run for each half
    ]).splitlines()  # fmt: skip
    one, halves = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:])
    assert one[:5] == ["one", "2", "+0.30 (+0.20 .. +0.40)", "-0.10 (-0.20 .. +0.00)", "1"]
    assert one[5:] == ["42.0", "30.0", "2.0"]
    assert halves[1:5] == ["1", "+1.50", "+0.40", "0"]
