"""Pairs of whole pictures: stored ones, and folders as public sets have them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate, scan_sources
from blursynth.errors import DatasetError, InvalidValueError, PictureError
from deblur_models.data import Crops, FolderPairs, StoredPairs, open_pairs
from deblur_models.data.skipped import log_skipped


def put(path: Path, value: int, size: tuple[int, int] = (12, 16), dtype: type = np.uint8, gray: bool = False) -> None:
    """A picture of one code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(size if gray else (*size, 3), value, dtype))


LAYOUTS: dict[str, dict[str, tuple[str, str]]] = {
    "two folders": {"1": ("blur/1.png", "sharp/1.png"), "2": ("blur/2.png", "sharp/2.png")},
    "GoPro": {
        "GOPR0372_07_00/000047": ("GOPR0372_07_00/blur_gamma/000047.png", "GOPR0372_07_00/sharp/000047.png"),
        "GOPR0374_11_00/000047": ("GOPR0374_11_00/blur_gamma/000047.png", "GOPR0374_11_00/sharp/000047.png"),
    },
    "RealBlur": {
        "scene001/1": ("scene001/blur/blur_1.png", "scene001/gt/gt_1.png"),
        "scene001/12": ("scene001/blur/blur_12.png", "scene001/gt/gt_12.png"),
        "scene002/1": ("scene002/blur/blur_1.png", "scene002/gt/gt_1.png"),
    },
    "restoration code": {"test/a": ("test/input/a.png", "test/target/a.png")},
    "capitals": {"a": ("Blurred/a.png", "Sharp/a.png")},
    "super-resolution code": {"deep/a": ("lq/deep/a.png", "hq/deep/a.png")},
    "ours": {"a b/c.d": ("blurred/a b/c.d.png", "groundtruth/a b/c.d.png")},
}


def test_an_imported_set_has_real_pairs(tmp_path: Path) -> None:
    for half, value in (("blur", 1), ("sharp", 101)):
        put(tmp_path / "GOPRO_Large/train/GOPR0372_07_00" / half / "000047.png", value)
    bs.import_pairs("gopro", tmp_path / "GOPRO_Large", tmp_path / "pairs", size_px=12, workers=1)
    pairs = open_pairs(tmp_path / "pairs")
    assert isinstance(pairs, StoredPairs)
    assert len(pairs) == 2  # side by side in 16 columns
    for pair, left in zip(pairs, (0, 4), strict=True):
        assert pair.draw is None
        assert ((pair.blurred == 1) & (pair.sharp == 101)).all()
        assert pair.geometry is not None
        assert pair.geometry.origin_px.tolist() == [[0, left]]
        assert pair.geometry.full_size_px.tolist() == [[12, 16]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_as_public_sets_have_them(layout: str, tmp_path: Path) -> None:
    for number, (blurred, sharp) in enumerate(LAYOUTS[layout].values()):
        put(tmp_path / "set" / blurred, number)
        put(tmp_path / "set" / sharp, 100 + number)
    put(tmp_path / "set" / "cover.png", 7)  # in no folder with a name of a half
    (tmp_path / "set" / "readme.txt").write_text("x")
    pairs = open_pairs(tmp_path / "set")
    assert isinstance(pairs, FolderPairs)
    assert pairs.names == tuple(LAYOUTS[layout])
    assert pairs.name == "set"
    for i, pair in enumerate(pairs):
        assert (pair.blurred == i).all()
        assert (pair.sharp == 100 + i).all()
        assert pair.draw is None
        assert pairs.size_px(i) == (12, 16)


def test_of_two_sorts_of_blur_the_published_one_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, value in (("blur", 1), ("blur_gamma", 2), ("sharp", 3)):
        put(tmp_path / "G" / folder / "1.png", value)
    put(tmp_path / "G" / "blur" / "2.png", 4)
    put(tmp_path / "G" / "sharp" / "2.png", 5)
    with caplog.at_level(logging.WARNING):
        pairs = open_pairs(tmp_path)
    assert [int(p.blurred[0, 0, 0]) for p in pairs] == [2, 4]
    assert "1 picture is available with two kinds of blur" in caplog.text


def test_two_folders_with_other_suffixes(tmp_path: Path) -> None:
    put(tmp_path / "b" / "deep" / "1.jpg", 10)
    put(tmp_path / "b" / "2.png", 20)
    put(tmp_path / "s" / "deep" / "1.png", 11)
    put(tmp_path / "s" / "2.tif", 21)
    put(tmp_path / "s" / "3.png", 31)  # a sharp picture too many does no harm
    put(tmp_path / "s" / ".hidden.png", 1)
    pairs = open_pairs(tmp_path / "b", tmp_path / "s")
    assert isinstance(pairs, FolderPairs)
    assert pairs.names == ("2", "deep/1")
    assert [(int(p.blurred[0, 0, 0]), int(p.sharp[0, 0, 0])) for p in pairs] == [(20, 21), (10, 11)]
    one = open_pairs(tmp_path / "b" / "2.png", tmp_path / "s" / "2.tif")
    assert len(one) == 1
    assert one[0].name == "2"


def test_pairs_are_a_sequence(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / "blur" / f"{i}.png", i)
        put(tmp_path / "sharp" / f"{i}.png", i)
    pairs = open_pairs(tmp_path)
    assert (pairs[-1].name, [p.name for p in pairs[1:]]) == ("2", ["1", "2"])
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"pair {index} of 3"):
            pairs[index]


def test_sixteen_bits_and_gray(tmp_path: Path) -> None:
    put(tmp_path / "blur" / "1.png", 60_000, dtype=np.uint16)
    put(tmp_path / "sharp" / "1.png", 50_000, dtype=np.uint16, gray=True)
    pair = open_pairs(tmp_path)[0]
    assert pair.blurred.dtype == pair.sharp.dtype == np.uint16
    assert pair.sharp.shape == (12, 16, 3)
    assert (pair.blurred == 60_000).all()
    assert (pair.sharp == 50_000).all()


def test_pictures_of_other_sizes_are_reported(tmp_path: Path) -> None:
    put(tmp_path / "blur" / "1.png", 1)
    put(tmp_path / "sharp" / "1.png", 1, (12, 17))
    with pytest.raises(
        PictureError, match=r"1.png has 16x12 px of uint8 and .*1.png has 17x12 px of uint8.*one pixel grid"
    ):
        open_pairs(tmp_path)[0]


def test_other_bits_in_the_two_halves_are_a_pair(tmp_path: Path) -> None:
    put(tmp_path / "blur" / "1.png", 1)
    put(tmp_path / "sharp" / "1.png", 1, dtype=np.uint16)
    pair = open_pairs(tmp_path)[0]
    assert (pair.blurred.dtype, pair.sharp.dtype) == (np.uint8, np.uint16)


def test_pictures_without_a_partner_are_reported(tmp_path: Path) -> None:
    put(tmp_path / "blur" / "10.png", 1)
    put(tmp_path / "blur" / "2.png", 1)
    put(tmp_path / "sharp" / "10.png", 1)
    message = (
        r"1 blurred picture has no sharp partner; 1 pair is complete. The partner of '.*2' was expected at "
        r".*sharp/2\.\*\. The pictures of a pair must have the same name\.$"
    )
    with pytest.raises(DatasetError, match=message):
        open_pairs(tmp_path)
    with pytest.raises(DatasetError, match=message):
        open_pairs(tmp_path / "blur", tmp_path / "sharp")


def test_a_sharp_picture_that_is_nobodys_is_suggested(tmp_path: Path) -> None:
    for name in ("scene_1", "scene_2", "scene_3"):
        put(tmp_path / "blur" / f"{name}.png", 1)
    for name in ("scene_1", "scene-2"):
        put(tmp_path / "sharp" / f"{name}.png", 1)
    message = r"2 blurred pictures have no .*sharp/scene_2\.\*\..*Did you mean '.*sharp/scene-2'\?"
    for arguments in ((tmp_path,), (tmp_path / "blur", tmp_path / "sharp")):
        with pytest.raises(DatasetError, match=message):
            open_pairs(*arguments)


def test_headers_of_all_pairs_are_checked(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path / "blur" / f"{i}.png", 1)
        put(tmp_path / "sharp" / f"{i}.png", 1, (12, 17) if i == 2 else (12, 16))
    (tmp_path / "sharp" / "1.png").write_bytes(b"no picture")
    pairs = open_pairs(tmp_path)
    with pytest.raises(
        PictureError, match=r"2 of 4 pairs cannot be used.*sharp/1.png.*blur/2.png has 16x12 px, but .*17x12"
    ):
        pairs.check()
    with pytest.raises(PictureError, match=r"2 of 4 pairs cannot be used"):
        Crops(pairs, "pairs", size_px=8, seed=0)


def test_a_pair_that_cannot_be_decoded_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(3):
        put(tmp_path / "blur" / f"{i}.png", i)
        put(tmp_path / "sharp" / f"{i}.png", i)
    whole = [Crops(open_pairs(tmp_path), "pairs", size_px=8, seed=0).sample(i).name for i in range(12)]
    broken = tmp_path / "sharp" / "1.png"
    broken.write_bytes(broken.read_bytes()[:-30])  # the header stays whole
    crops = Crops(open_pairs(tmp_path), "pairs", size_px=8, seed=0)
    taken = [crops.sample(i).name for i in range(12)]
    assert caplog.text.count("pair 1 is skipped") == 1
    assert "sharp/1.png" in caplog.text
    assert all(before == after for before, after in zip(whole, taken, strict=True) if before != "1")
    assert "1" not in taken
    again = Crops(open_pairs(tmp_path), "pairs", size_px=8, seed=0)
    assert [again.sample(i).name for i in reversed(range(12))] == taken[::-1], "a function of the number alone"
    for i in (0, 2):
        (tmp_path / "sharp" / f"{i}.png").unlink()
    with pytest.raises(PictureError, match=r"3 consecutive pairs cannot be read.*Check that the pictures still exist"):
        crops.sample(0)


def test_one_name_twice_is_reported(tmp_path: Path) -> None:
    put(tmp_path / "blur" / "1.png", 1)
    put(tmp_path / "blur" / "1.jpg", 1)
    put(tmp_path / "sharp" / "1.png", 1)
    for arguments in ((tmp_path,), (tmp_path / "blur", tmp_path / "sharp")):
        with pytest.raises(DatasetError, match=r"1.jpg and 1.png have the same name except for the suffix"):
            open_pairs(*arguments)


def test_folders_without_pairs_are_reported(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png", 1)
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "none",), "none: does not exist"),
        ((tmp_path / "a", tmp_path / "none"), "none: does not exist"),
        ((tmp_path / "a" / "1.png",), "is a single picture; its sharp picture is needed too. Use --sharp"),
        ((tmp_path / "a" / "1.png", tmp_path / "a"), "must be two folders or two pictures"),
        ((tmp_path / "a",), r"is neither a blursynth data set nor a folder with pairs.*Use --sharp"),
        ((tmp_path / "empty", tmp_path / "empty"), "contains no pictures"),
    ):
        with pytest.raises(DatasetError, match=message):
            open_pairs(*arguments)
    with pytest.raises(InvalidValueError, match="as many blurred as sharp pictures"):
        FolderPairs([], [], [], "x")


def test_stored_pairs_know_their_draws_and_places(photos: Path, tmp_path: Path) -> None:
    generate(
        DatasetRequest(sources=photos, recipe=bs.load_recipe("clean"), count=3, size_px=24, seed=5, downscale=2),
        tmp_path / "pairs",
        workers=1,
    )
    pairs = open_pairs(tmp_path / "pairs")
    assert isinstance(pairs, StoredPairs)
    assert (len(pairs), pairs.name, pairs.size_px(2)) == (3, "pairs", (24, 24))
    stored = bs.open_dataset(tmp_path / "pairs")
    for i, pair in enumerate(pairs):
        assert pair.name == f"{i:06d}"
        assert (pair.sharp == stored[i].sharp).all()
        assert (pair.blurred == stored[i].blurred).all()
        assert pair.draw == stored[i].draw
        assert pair.source == stored[i].source
        assert pair.geometry is not None
        window = stored[i].window
        assert pair.geometry.origin_px.tolist() == [[window.top, window.left]]
        height, width = bs.read_frame(photos / Path(pair.source).name).size_px
        assert pair.geometry.full_size_px.tolist() == [[height // 2, width // 2]]


def test_data_sets_of_light_are_refused(photos: Path, tmp_path: Path) -> None:
    light = bs.Recipe([("decode", bs.kinds.Decode()), ("lens", bs.kinds.GaussianBlur(sigma_px=1.5))], name="light")
    generate(DatasetRequest(sources=photos, recipe=light, count=1, size_px=24, seed=5), tmp_path / "pairs", workers=1)
    with pytest.raises(InvalidValueError, match=r"holds linear light, .*End the recipe with an encode step"):
        open_pairs(tmp_path / "pairs")


def test_pairs_behind_links_and_what_is_left_out(tmp_path: Path) -> None:
    put(tmp_path / "disk" / "1.png", 1)
    put(tmp_path / "set" / "sharp" / "1.png", 2)
    (tmp_path / "set" / "blur").symlink_to(tmp_path / "disk")
    (tmp_path / "set" / "sharp" / "up").symlink_to(tmp_path / "set")
    for name in ("notes.txt", "sharp/1.cr2"):
        (tmp_path / "set" / name).write_bytes(b"x")
    pairs = open_pairs(tmp_path / "set")
    assert isinstance(pairs, FolderPairs)
    assert pairs.names == ("1",)
    assert pairs.ignored == {".txt": 1, ".cr2": 1}
    assert pairs.left_out == ((str(tmp_path / "set/sharp/up"), "a link to a folder that contains it"),)
    two = open_pairs(tmp_path / "set" / "blur", tmp_path / "set" / "sharp")
    assert isinstance(two, FolderPairs)
    assert (two.names, two.ignored) == (("1",), {".cr2": 1})


def test_names_that_are_not_utf_8_are_paired(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    for folder, value in (("blur", 1), ("sharp", 2)):
        put(tmp_path / "set" / folder / "x.png", value)
        (tmp_path / "set" / folder / "x.png").rename(tmp_path / "set" / folder / odd)
    for pairs in (open_pairs(tmp_path / "set"), open_pairs(tmp_path / "set/blur", tmp_path / "set/sharp")):
        assert isinstance(pairs, FolderPairs)
        assert pairs.names == (r"caf\xe9",)
        pairs.check()
        assert (pairs[0].sharp == 2).all()
        assert pairs.fingerprint()


def test_partners_whose_names_are_alike(tmp_path: Path) -> None:
    """Another case and other composition of accents pair what has no exact partner; exact names come first."""
    for number, (blurred, sharp) in enumerate(
        [("a", "a"), ("A", "A"), ("Caf\u00e9", "cafe\u0301"), ("IMG_1", "img_1")]
    ):
        put(tmp_path / f"blur/{blurred}.png", number)
        put(tmp_path / f"sharp/{sharp}.PNG", 100 + number)
    for pairs in (open_pairs(tmp_path), open_pairs(tmp_path / "blur", tmp_path / "sharp")):
        assert len(pairs) == 4
        assert all(pair.sharp[0, 0, 0] == pair.blurred[0, 0, 0] + 100 for pair in pairs)


def test_training_names_once_what_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "photos" / "a.png", 1)
    (tmp_path / "photos" / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "photos" / "c.mov").write_bytes(b"x")
    put(tmp_path / "set" / "blur" / "1.png", 1)
    put(tmp_path / "set" / "sharp" / "1.png", 2)
    log_skipped("data.photos", scan_sources(tmp_path / "photos"))
    log_skipped("data.pairs", open_pairs(tmp_path / "set"))
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("[data.photos]: b.jpg is skipped: is not a picture that can be read")
    assert second == "[data.photos]: 1 picture is used, 1 skipped; other files in the folders: 1 .mov"
