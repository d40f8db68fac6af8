"""Kernels of files, several sharp pictures per blurred one, and metrics that can be measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import DatasetError, InvalidValueError
from deblur_models.data import FolderPairs, PairSample, PairSet
from deblur_models.evaluate import DEFAULT_METRICS, aligned_metrics, kernels_of_files, open_references, usable_metrics
from deblur_models.metrics import metric


def picture(path: Path, seed: int, size_px: tuple[int, int] = (24, 32)) -> Path:
    bs.write_picture(path, np.random.Generator(np.random.Philox(seed)).random((3, *size_px)))
    return path


def folder_pairs(folder: Path, names: str, size_px: tuple[int, int] = (24, 32)) -> FolderPairs:
    paths = [picture(folder / f"{name}.png", seed, size_px) for seed, name in enumerate(names)]
    return FolderPairs(paths, paths, list(names), "made")


def test_kernels_go_by_the_names_of_pictures(tmp_path: Path) -> None:
    pairs = folder_pairs(tmp_path, "ab")
    kernels = tmp_path / "kernels"
    with pytest.raises(DatasetError, match="kernels: does not exist"):
        kernels_of_files(kernels, pairs)
    kernels.mkdir()
    kernel = np.zeros((5, 5))
    kernel[2] = [0, 2, 1, 0, 1]  # its centroid is the middle, where reading puts it
    np.save(kernels / "a.npy", kernel)
    with pytest.raises(DatasetError, match=r"1 of 2 pictures have no kernel \(the first is 'b'\)"):
        kernels_of_files(kernels, pairs)
    np.savetxt(kernels / "b.csv", kernel.T, delimiter=",")
    for turn, expected in ((False, kernel), (True, kernel[::-1, ::-1])):
        of = kernels_of_files(kernels, pairs, turn_180=turn)
        a, b = of(pairs[0]), of(pairs[1])
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a, expected / 4)
        np.testing.assert_allclose(b, expected.T / 4)


def test_kernels_from_files_are_for_files(tmp_path: Path) -> None:
    class Nameless(PairSet):
        name = "nameless"

        def __len__(self) -> int:
            return 1

        def size_px(self, index: int) -> tuple[int, int]:
            return 8, 8

        def read(self, index: int) -> PairSample:
            raise AssertionError

    with pytest.raises(InvalidValueError, match="nameless: kernels from files require folders of pictures"):
        kernels_of_files(tmp_path, Nameless())


def test_the_middle_reference_stands_for_the_sharp_picture(tmp_path: Path) -> None:
    picture(tmp_path / "blurred/a.png", 9)
    for seed in range(3):
        picture(tmp_path / f"references/a/{seed}.png", seed)
    pairs, references = open_references(tmp_path / "blurred", tmp_path / "references")
    sample = pairs[0]
    several = [np.rint(one.movedim(0, -1).numpy() * 255).astype(np.uint8) for one in references(sample)]
    assert len(several) == 3
    assert [bool((one == sample.sharp).all()) for one in several] == [False, True, False]
    picture(tmp_path / "sharp/a.png", 5)
    pairs, references = open_references(tmp_path / "blurred", tmp_path / "references", tmp_path / "sharp")
    assert not any((np.rint(one.movedim(0, -1).numpy() * 255) == pairs[0].sharp).all() for one in references(pairs[0]))
    picture(tmp_path / "blurred/b.png", 9)
    with pytest.raises(DatasetError, match="contains no pictures in the folder 'b'"):
        open_references(tmp_path / "blurred", tmp_path / "references")
    with pytest.raises(DatasetError, match="none: does not exist"):
        open_references(tmp_path / "blurred", tmp_path / "none")


def test_metrics_are_tried_on_the_smallest_picture(tmp_path: Path) -> None:
    pairs = folder_pairs(tmp_path, "ab")
    usable, wrong = usable_metrics([metric(name) for name in DEFAULT_METRICS], pairs)
    assert [one.name for one in usable] == ["psnr", "ssim", "gmsd"]
    assert set(wrong) == {"ms_ssim", "niqe_bundled", "lpips_alex"}
    assert "sides of at least 176 px, got 24 x 32" in wrong["ms_ssim"].what
    large = folder_pairs(tmp_path / "large", "c", (200, 230))
    usable, _ = usable_metrics([metric("ms_ssim"), metric("niqe"), *aligned_metrics(3)], large)
    assert [one.name for one in usable] == ["ms_ssim", "niqe_bundled", "psnr_aligned", "ssim_aligned"]
    (tmp_path / "large/c.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="none of its 1 pictures can be read"):
        usable_metrics([metric("psnr")], large)
