"""Miniatures of public sets, cut into data sets: every pixel as the files have it, whole sets or none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import blursynth as bs
from blursynth.cli import app as cli
from blursynth.dataset.files import canonical, sealed, sha256_hex
from blursynth.dataset.public_sets import PUBLIC_SETS
from blursynth.dataset.schema import load_spec
from blursynth.errors import DatasetError, InvalidValueError, PictureError

REALBLUR = {
    letter: f"RealBlur-{letter}_{rest}ECC_IMCORR_centroid_itensity_ref" for letter, rest in (("J", ""), ("R", "BM3D_"))
}
# Set and split: blurred and sharp pictures of two pairs.
SETS: dict[tuple[str, str], list[tuple[str, str]]] = {
    ("gopro", "train"): [(f"GOPRO_Large/train/GOPR0372_07_0{i}/blur/000047.png", f"GOPRO_Large/train/GOPR0372_07_0{i}/sharp/000047.png") for i in (0, 1)],
    ("gopro-gamma", "test"): [(f"GOPRO_Large/test/GOPR0384_11_00/blur_gamma/00000{i}.png", f"GOPRO_Large/test/GOPR0384_11_00/sharp/00000{i}.png") for i in (1, 2)],
    ("hide", "train"): [(f"HIDE_dataset/train/{i}fromGOPR0950.png", f"HIDE_dataset/GT/{i}fromGOPR0950.png") for i in (1, 2)],
    ("hide", "test"): [(f"HIDE_dataset/test/test-{part}/{name}.png", f"HIDE_dataset/GT/{name}.png") for part, name in (("close-ups", "1fromGOPR1096"), ("long-shot", "7fromGOPR0977"))],
    ("reds", "train"): [(f"REDS/train/train_blur/00{i}/0000000{i}.png", f"REDS/train/train_sharp/00{i}/0000000{i}.png") for i in (0, 1)],
    ("reds-jpeg", "val"): [(f"REDS/val/val_blur_jpeg/00{i}/00000009.jpg", f"REDS/val/val_sharp/00{i}/00000009.png") for i in (0, 1)],
    ("realblur-j", "train"): [(f"{REALBLUR['J']}/scene001/blur/blur_{i}.png", f"{REALBLUR['J']}/scene001/gt/gt_{i}.png") for i in (1, 2)],
    ("realblur-r", "test"): [(f"{REALBLUR['R']}/scene050/blur/blur_{i}.png", f"{REALBLUR['R']}/scene050/gt/gt_{i}.png") for i in (1, 2)],
    ("rsblur", "val"): [(f"RSBlur/0014/00042{i}/real_blur/real_blur.png", f"RSBlur/0014/00042{i}/gt/gt_sharp.png") for i in (2, 3)],
    ("dvd", "train"): [(f"DeepVideoDeblurring_Dataset/quantitative_datasets/{v}/input/00000.jpg", f"DeepVideoDeblurring_Dataset/quantitative_datasets/{v}/GT/00000.jpg") for v in ("720p_240fps_1", "IMG_0001")],
    ("dvd", "test"): [(f"DeepVideoDeblurring_Dataset/quantitative_datasets/{v}/input/00000.jpg", f"DeepVideoDeblurring_Dataset/quantitative_datasets/{v}/GT/00000.jpg") for v in ("720p_240fps_2", "IMG_0049")],
}  # fmt: skip
LISTS = {
    ("realblur-j", "train"): "RealBlur_J_train_list.txt",
    ("realblur-r", "test"): "RealBlur_R_test_list.txt",
    ("rsblur", "val"): "RSBlur_real_val.txt",
}
# Beside them, by set: other splits and other kinds of blur.
OTHERS = {
    "gopro": ["GOPRO_Large/test/GOPR0384_11_00/blur/000001.png", "GOPRO_Large/train/GOPR0372_07_00/blur_gamma/000047.png"],
    "hide": [file for split in ("train", "test") for pair in SETS["hide", split] for file in pair],
    "reds": ["REDS/train/train_blur_comp/000/00000000.png", "REDS/val/val_blur/000/00000000.png"],
    "realblur-j": [f"{REALBLUR['J']}/scene050/blur/blur_1.png"],
    "rsblur": ["RSBlur/0014/000422/avg65_img/avg_blur.png"],
    "dvd": [file for split in ("train", "test") for pair in SETS["dvd", split] for file in pair],
}  # fmt: skip
SIZES = [(20, 27), (16, 33)]  # rows and columns of the pairs
WINDOWS = [3 * 4, 2 * 5]  # of 8 px


def write(path: Path, seed: int, size_px: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bs.write_picture(path, np.random.Generator(np.random.Philox(seed)).random((3, *size_px)))


def tree(root: Path, name: str, split: str) -> Path:
    for number, file in enumerate(OTHERS.get(name, ())):
        write(root / file, 100 + number, (12, 18))
    for number, pair in enumerate(SETS[name, split]):
        for half, file in enumerate(pair):
            write(root / file, 2 * number + half, SIZES[number])
    if (name, split) in LISTS:
        lines = [f"{sharp} {blurred}" for blurred, sharp in SETS[name, split]]
        (root / LISTS[name, split]).write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def gopro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("gopro"), "gopro", "train")


@pytest.fixture(scope="module")
def imported(gopro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of three shards, which tests must not change."""
    out = tmp_path_factory.mktemp("sets") / "gopro-train"
    bs.import_pairs("gopro", gopro, out, size_px=8, shard_length=9, workers=1)
    return out


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="blursynth")
    assert result.exit_code == 0, result.output
    return result.output


def test_every_set_has_a_miniature() -> None:
    assert {name for name, _ in SETS} == set(PUBLIC_SETS)


@pytest.mark.parametrize(("name", "split"), SETS, ids=lambda value: str(value))
def test_every_pixel_of_a_set_is_there(name: str, split: str, tmp_path: Path) -> None:
    root = tree(tmp_path / "data", name, split)
    about = PUBLIC_SETS[name]
    report = bs.import_pairs(name, root, tmp_path / "out", split=split, size_px=8, workers=1)
    assert (report.finished, report.count, report.sources) == (True, sum(WINDOWS), 2)
    pairs = bs.open_dataset(tmp_path / "out")
    assert pairs.recipe is None
    whole: dict[str, dict[str, np.ndarray]] = {}
    for sample in pairs:
        window, record = sample.window, sample.record
        assert sample.draw is None
        assert (record["license"], record["attribution"], record["url"]) == (about.license, about.citation, about.url)
        names = {"sharp": record["source"], "blurred": record["blurred"]}
        both = whole.setdefault(record["source"], {})
        for half, file in names.items():
            with Image.open(root / file) as picture:
                stored = np.asarray(picture)
            seen = both.setdefault(half, np.zeros(stored.shape[:2], bool))
            place = (slice(window.top, window.top + 8), slice(window.left, window.left + 8))
            assert (sample[half] == stored[place]).all()
            seen[place] = True
    assert all(seen.all() for both in whole.values() for seen in both.values())
    expected = {(sharp, blurred) for blurred, sharp in SETS[name, split]}
    assert {(source.name, source.blurred) for source in pairs.spec.sources} == expected
    checked = bs.verify(tmp_path / "out", deep=True, replay=sum(WINDOWS))
    assert checked.ok, checked.problems
    card = (tmp_path / "out" / "README.md").read_text()
    assert about.license in card
    assert about.citation in card
    assert json.loads((tmp_path / "out/dataset.json").read_text())["schema"] == 9


@pytest.mark.parametrize("place", ["GOPRO_Large", "GOPRO_Large/train"])
def test_it_is_found_from_within(gopro: Path, imported: Path, tmp_path: Path, place: str) -> None:
    report = bs.import_pairs("gopro", gopro / place, tmp_path / "out", size_px=8, workers=1)
    assert report.digest["pixels"] == bs.open_dataset(imported).digest["pixels"]


def test_a_half_beside_the_folder_is_found(tmp_path: Path) -> None:
    root = tree(tmp_path, "reds", "train")
    bs.import_pairs("reds", root / "REDS/train/train_blur", tmp_path / "out", size_px=8, workers=1)
    assert {s.name for s in load_spec(tmp_path / "out").sources} == {
        f"train_sharp/00{i}/0000000{i}.png" for i in (0, 1)
    }
    assert bs.verify(tmp_path / "out", replay=3).ok


def test_what_was_left_out_is_reported(imported: Path) -> None:
    skipped = json.loads((imported / "skipped.json").read_text())["skipped"]
    assert skipped == [
        {"name": "GOPRO_Large/test/GOPR0384_11_00/blur/", "why": "not of gopro, split train: 1 picture"},
        {"name": "GOPRO_Large/train/GOPR0372_07_00/blur_gamma/", "why": "not of gopro, split train: 1 picture"},
    ]


def test_equal_pairs_are_kept_once_but_a_sharp_picture_may_have_several_blurred_ones(tmp_path: Path) -> None:
    root = tree(tmp_path, "gopro", "train")
    first = root / "GOPRO_Large/train/GOPR0372_07_00"
    for number in (48, 49):
        for half in ("blur", "sharp"):
            shutil.copy(first / half / "000047.png", first / half / f"0000{number}.png")
    write(first / "blur/000049.png", 50, SIZES[0])
    report = bs.import_pairs("gopro", root, tmp_path / "out", size_px=8, workers=1)
    assert [(s.name.rpartition("/")[2], s.why.rpartition("/")[2]) for s in report.duplicates] == [
        ("000048.png", "000047.png")
    ]
    assert report.count == sum(WINDOWS) + WINDOWS[0]
    assert "3 pairs were found, but the split train of gopro has 2,103" not in report.notes
    assert "4 pairs were found, but the split train of gopro has 2,103" in report.notes
    assert bs.verify(tmp_path / "out", replay=report.count).ok


def sixteen_bits(path: Path, size_px: tuple[int, int]) -> None:
    codes = np.random.Generator(np.random.Philox(3)).integers(0, 65536, (*size_px, 3), np.uint16)
    cv2.imwrite(str(path), codes)


def test_sets_of_16_bits_keep_them(tmp_path: Path) -> None:
    root = tree(tmp_path, "gopro", "train")
    for pair in SETS["gopro", "train"]:
        for file in pair:
            sixteen_bits(root / file, (8, 11))
    bs.import_pairs("gopro", root, tmp_path / "out", size_px=8, workers=1)
    pairs = bs.open_dataset(tmp_path / "out")
    stored = cv2.imread(str(root / pairs[1].source), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    assert (pairs[1].sharp == stored[:, 3:]).all()
    assert (pairs[1].sharp > 255).any()


def refused(root: Path, error: type[bs.BlursynthError], *words: str, name: str = "gopro", **options: object) -> None:
    out = root / "out"
    with pytest.raises(error) as caught:
        bs.import_pairs(name, root, out, **{"size_px": 8, "workers": 1, **options})  # type: ignore[arg-type]
    text = caught.value.text()
    for word in words:
        assert word in text, text
    assert not out.exists(), "nothing is written before work starts"


def test_what_is_no_whole_set_is_refused(tmp_path: Path) -> None:
    def fresh(number: int) -> tuple[Path, Path, Path]:
        root = tree(tmp_path / str(number), "gopro", "train")
        blurred, sharp = SETS["gopro", "train"][1]
        return root, root / blurred, root / sharp

    root, blurred, sharp = fresh(0)
    write(blurred, 9, (33, 16))
    refused(
        root, PictureError, "1 of 2 pairs", str(sharp), "33 x 16 px", "16 x 33 px", "resizing would change the blur"
    )
    root, blurred, sharp = fresh(1)
    sixteen_bits(sharp, SIZES[1])
    refused(root, PictureError, f"{sharp} has 16 bits, but {blurred} has 8")
    sixteen_bits(blurred, SIZES[1])
    refused(
        root, PictureError, "1 of 2 pairs have 16 bits, such as", "GOPR0372_07_01/sharp/000047.png, and the others 8"
    )
    root, blurred, sharp = fresh(2)
    sharp.unlink()
    refused(root, DatasetError, "1 of 2 blurred pictures have no sharp one", str(sharp.with_suffix("")))
    root, blurred, sharp = fresh(3)
    blurred.unlink()
    refused(root, DatasetError, "1 sharp picture has no blurred one", str(sharp), "unpacked completely")
    root, blurred, sharp = fresh(4)
    blurred.write_bytes(blurred.read_bytes()[:-400])
    refused(root, PictureError, "1 of 2 pairs cannot be used", "000047")
    root, _, _ = fresh(5)
    refused(
        root, InvalidValueError, "size_px is 17, but 1 of 2 pairs are smaller", "33 x 16 px", "size_px=16", size_px=17
    )
    for options, words in (
        ({"size_px": 7}, "size_px must"), ({"split": "tset"}, "gopro has no split 'tset', only train, test"),
        ({"codec": "zip"}, "codec must"), ({"shard_length": 0}, "shard_length must"), ({"workers": 0}, "workers must"),
    ):  # fmt: skip
        refused(root, InvalidValueError, words, **options)
    refused(root, InvalidValueError, "There is no public set 'gropo'", "Did you mean 'gopro'", name="gropo")


def test_a_folder_of_another_set_is_named(gopro: Path, tmp_path: Path) -> None:
    for name, split, words in (
        ("hide", "train", "is laid out like gopro, split train"),
        ("reds", "val", "not like reds, split val"),
    ):
        with pytest.raises(DatasetError, match=words):
            bs.import_pairs(name, gopro / "GOPRO_Large/train", tmp_path / "out", split=split, workers=1)
    root = tree(tmp_path, "reds", "train")
    with pytest.raises(DatasetError, match=r"laid out like reds, split train, not like reds, split val|no sharp one"):
        bs.import_pairs("reds", root / "REDS/train", tmp_path / "out", split="val", workers=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DatasetError, match=r"is not laid out like dvd, split train\..*scene none of .*IMG_0049.*no pictures"
    ):
        bs.import_pairs("dvd", tmp_path / "empty", tmp_path / "out", workers=1)


def test_damage_is_repaired_to_the_same_bytes(imported: Path, gopro: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(imported, out)
    digest = bs.open_dataset(out).digest
    shard = out / "sharp/c/1/0/0/0"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    (out / "manifest/000002.json").unlink()
    (out / "dataset.json").unlink()
    (out / "README.md").write_text("changed")
    (out / "zarr.json").unlink()
    found = bs.repair(out, workers=1)
    assert (found.ok, found.shards, found.digest) == (True, (1, 2), digest)
    for path in imported.rglob("*"):
        if path.is_file() and path.name not in ("README.md", "croissant.json", "index.json"):  # which name the folder
            assert (out / path.relative_to(imported)).read_bytes() == path.read_bytes(), path
    # A blurred picture that changed is not cut from.
    moved = tmp_path / "moved"
    shutil.copytree(gopro, moved)
    write(moved / SETS["gopro", "train"][0][0], 77, SIZES[0])
    for number in range(3):
        (out / f"manifest/00000{number}.json").unlink()
    with pytest.raises(DatasetError, match="is not the blurred picture that was scanned"):
        bs.resume(out, workers=1, source_root=moved)
    assert bs.resume(out, workers=1, source_root=gopro).digest == digest


def test_workers_and_shards_do_not_change_it(imported: Path, gopro: Path, tmp_path: Path) -> None:
    digest = bs.open_dataset(imported).digest
    assert bs.import_pairs("gopro", gopro, tmp_path / "a", size_px=8, workers=2, shard_length=5).digest == digest
    assert not bs.import_pairs("gopro", gopro, tmp_path / "b", size_px=8, workers=1, shards=(0, 1)).finished
    with pytest.raises(DatasetError, match=r"was started with other arguments: .*size_px \(8 there, 9 now\)"):
        bs.import_pairs("gopro", gopro, tmp_path / "b", size_px=9, workers=1)
    again = bs.import_pairs("gopro", gopro, tmp_path / "b", size_px=8, workers=1)
    assert (again.kept, again.digest) == ((0,), digest)


def test_into_object_storage(imported: Path, gopro: Path) -> None:
    pytest.importorskip("obstore")
    out = bs.import_pairs("gopro", gopro, "memory://bucket/gopro", size_px=8, workers=1).out
    assert bs.open_dataset(out).digest == bs.open_dataset(imported).digest
    assert bs.verify(out, deep=True).ok


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"count": 23}, "it has 23 samples, but its pictures have 22 windows"),
        ({"recipe": {"step": [{"kind": "identity"}]}}, "it has real pairs, but also a recipe"),
        ({"downscale": 2}, "it has real pairs, but also"),
        ({"blurred": "../../etc/passwd"}, "is not a path inside a folder"),
        ({"blurred_sha256": ""}, "is no pair of uint8 like the others"),
        ({"bit_depth": 16}, "is no pair of uint8 like the others"),
        ({"height": 7}, "is smaller than 8 px"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_impossible_description_is_refused(
    imported: Path, tmp_path: Path, change: dict[str, object], why: str
) -> None:
    """With right hashes, as someone who wants to harm a reader writes it."""
    spec = load_spec(imported)
    own = {key: value for key, value in change.items() if hasattr(spec, key)}
    first = replace(spec.sources[0], **{key: value for key, value in change.items() if key not in own})
    spec = replace(spec, sources=(first, *spec.sources[1:]), **own)
    document = json.loads((imported / "dataset.json").read_text())
    document |= {"request": spec.request(), "request_sha256": sha256_hex(canonical(spec.request()))}
    document.pop("sha256")
    (tmp_path / "dataset.json").write_bytes(sealed(document))
    with pytest.raises(DatasetError, match=why):
        load_spec(tmp_path)


def test_all_commands_take_it(gopro: Path, tmp_path: Path) -> None:
    out = tmp_path / "gopro-train"
    text = run("import", "gopro", gopro, out, "--size", 8, "--workers", 1)
    assert "made 22 pairs" in text
    assert "blur_gamma/" in text
    assert "all 22 pairs" in run("import", "gopro", gopro, out, "--size", 8, "--workers", 1)
    assert "22 samples rendered again" in run("verify", out, "--deep", "--replay", 22)
    assert "nothing was damaged" in run("repair", out)
    assert "Nothing to do" in run("resume", out)
    assert "all bytes are the same" in run("replay", out, 3, "--output", tmp_path / "again.png")
    text = run("inspect", out, "--sheet", tmp_path / "sheet.png")
    assert "imported   gopro train" in text
    assert "A real pair: nothing was drawn." in text
    assert "Drawn numbers" not in text
    run("report", out)
    page = (tmp_path / "gopro-train.html").read_text()
    assert "blursynth import gopro FOLDER OUT --split train --size 8" in page
    run("export", out, tmp_path / "folders")
    sample = bs.open_dataset(out)[21]
    with Image.open(tmp_path / "folders/input/000021.png") as picture:
        assert (np.asarray(picture) == sample.blurred).all()
