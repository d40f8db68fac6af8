"""Perceptual hashes against the values of the package imagehash, and groups against all pairs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blursynth.dataset.bundled import bundled_photographs
from blursynth.dataset.near_duplicates import MOST_DIFFERENT_BITS, groups_of, near_groups
from blursynth.io.perceptual_hash import perceptual_hash
from blursynth.io.pictures import read_pixels

# imagehash 4.3.1: str(imagehash.phash(Image.open(file)))
PHASH = {
    "astronaut.png": "c2924c5532bddfc8",
    "chelsea.png": "b15fe6465121175e",
    "coffee.png": "bb8320376c0f3637",
    "rocket.jpg": "c0371bec1be51267",
    "camera.png": "bff1c1c0434e8cbc",
}


def photographs() -> dict[str, Path]:
    return {p.name: p for part in ("training", "held-out") for p in bundled_photographs(part)}


def test_values_of_imagehash() -> None:
    files = photographs()
    assert {name: f"{perceptual_hash(read_pixels(files[name])):016x}" for name in PHASH} == PHASH


def test_light_and_16_bits_are_like_codes() -> None:
    codes = read_pixels(photographs()["chelsea.png"])
    expected = perceptual_hash(codes)
    assert perceptual_hash(codes.astype(np.uint16) * 257) == expected
    light = (codes / np.float32(255)) ** np.float32(2.2) * 37
    assert (perceptual_hash(light.astype(np.float32)) ^ expected).bit_count() <= MOST_DIFFERENT_BITS


@pytest.mark.parametrize("change", ["half", "jpeg", "brighter"])
def test_changed_copies_are_near_and_others_are_not(change: str) -> None:
    hashes = []
    for path in photographs().values():
        picture = Image.open(path).convert("RGB")
        hashes.append(perceptual_hash(np.asarray(picture)))
        if change == "half":
            picture = picture.resize((picture.width // 2, picture.height // 2))
        elif change == "jpeg":
            file = io.BytesIO()
            picture.save(file, "jpeg", quality=50)
            picture = Image.open(file)
        else:
            picture = picture.point(lambda v: min(255, int(1.1 * v)))
        hashes.append(perceptual_hash(np.asarray(picture)))
    assert groups_of(near_groups(hashes)) == [[i, i + 1] for i in range(0, len(hashes), 2)]


def all_pairs(hashes: np.ndarray) -> np.ndarray:
    """By comparing all, and spreading the smallest number until nothing changes."""
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= MOST_DIFFERENT_BITS
    numbers = np.arange(len(hashes))
    while True:
        spread = np.where(near, numbers[None], len(hashes)).min(axis=1)
        if (spread == numbers).all():
            return numbers
        numbers = spread


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("at_once", [1 << 22, 50])
def test_groups_are_those_of_all_pairs(seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blursynth.dataset.near_duplicates._AT_ONCE", at_once)
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 2**64, 40, np.uint64)
    hashes = []
    for base in bases:  # of each up to 5 that differ in 0 to 9 bits, anywhere or within one band
        for _ in range(rng.integers(1, 6)):
            bits = rng.permutation(16 if rng.random() < 0.3 else 64)[: rng.integers(0, 10)]
            hashes.append(np.bitwise_xor.reduce([base, *(np.uint64(1) << bits.astype(np.uint64))]))
    given = rng.permutation(np.array(hashes, np.uint64))
    expected = all_pairs(given)
    assert 10 < len(set(expected.tolist())) < len(given)
    np.testing.assert_array_equal(near_groups(given), expected)


def test_few() -> None:
    assert near_groups([]).tolist() == []
    assert near_groups([5]).tolist() == [0]
    assert near_groups([5, 2**63 | 5, 2**64 - 1, 5]).tolist() == [0, 0, 2, 0]
