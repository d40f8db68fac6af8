"""Depth and label maps of source pictures, from the scan to the replay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import Field
from typer.testing import CliRunner

import blursynth as bs
from blursynth import dataset
from blursynth.cli.app import app
from blursynth.dataset import DatasetRequest, generate, plan, replay, resume, scan_sources, verify
from blursynth.errors import DatasetError, InvalidValueError, PictureError

SMALL: dict[str, Any] = {"count": 6, "size_px": 32, "shard_length": 3}


class DepthShade(bs.Degradation):
    """Brightness by depth and label, and a reach that the nearest depth of the window decides."""

    strength: float = Field(default=1.0, gt=0, description="strength")

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: bs.Frame) -> bs.Frame:
        assert frame.depth_m is not None
        shade = 1.0 / (1.0 + frame.depth_m[:, None])
        if frame.labels is not None:
            shade = shade * (1 + frame.labels[:, None])
        return frame.with_image((np.broadcast_to(shade, frame.image.shape) / 8).astype(np.float32))

    def reach_px(self, frame: bs.Frame) -> int | None:
        assert frame.depth_m is not None
        return int(8 / float(frame.depth_m.min()))


KINDS = (*bs.kinds.ALL, DepthShade)


def depth_of(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (1.0 + rows / height + columns / (2 * width)).astype(np.float32)


@pytest.fixture
def photos(pictures: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """Pictures, depth maps in three formats, and label maps."""
    photos, depth, labels = tmp_path / "photos", tmp_path / "depth", tmp_path / "labels"
    shutil.copytree(pictures, photos)
    (depth / "deep").mkdir(parents=True)
    labels.mkdir()
    for path in sorted(photos.rglob("*.png")):
        with Image.open(path) as picture:
            size = picture.height, picture.width
        name = path.relative_to(photos).with_suffix("")
        np.save(depth / f"{name}.npy", depth_of(*size))
        cv2.imwrite(str(labels / f"{name.name}.png"), (np.mgrid[: size[0], : size[1]][1] // 40).astype(np.uint8))
    return photos, depth, labels


@pytest.fixture
def shading() -> bs.Recipe:
    return bs.Recipe(
        [("decode", bs.kinds.Decode()), ("shade", DepthShade()), ("encode", bs.kinds.Encode())], name="shade"
    )


def test_a_sample_has_the_depth_of_its_window(
    photos: tuple[Path, Path, Path], shading: bs.Recipe, tmp_path: Path
) -> None:
    sources, depth, labels = photos
    report = generate(
        DatasetRequest(sources=sources, recipe=shading, **SMALL, depth=depth, labels=labels),
        tmp_path / "out",
        workers=1,
    )
    assert report.finished
    opened = bs.open_dataset(tmp_path / "out", kinds=KINDS)
    reaches = set()
    for sample in opened:
        source = next(s for s in opened.spec.sources if s.name == sample.source)
        assert source.depth == sample.source.replace(".png", ".npy")
        meters = np.load(depth / source.depth)
        objects = cv2.imread(str(labels / source.labels), cv2.IMREAD_UNCHANGED)
        window = sample.window
        box = (slice(window.top, window.top + 32), slice(window.left, window.left + 32))
        linear = (1 + objects[box]) / (1 + meters[box]) / 8
        expected = bs.kinds.Encode()(bs.Frame(linear.astype(np.float32), "linear")).image[0, 0]
        assert np.abs(np.rint(expected * 255) - sample.blurred[..., 1]).max() <= 1
        # The reach is that of the nearest depth in the widened window.
        wide = meters[window.top - window.reach : window.top + 32 + window.reach,
                      window.left - window.reach : window.left + 32 + window.reach]  # fmt: skip
        assert int(8 / wide.min()) <= window.reach
        reaches.add(window.reach)
    assert len(reaches) > 1
    assert verify(tmp_path / "out", deep=True, replay=6, kinds=KINDS).ok
    assert replay(tmp_path / "out", 2, kinds=KINDS).equal


def test_the_specification_names_the_maps_and_sets_without_stay_as_they_were(
    photos: tuple[Path, Path, Path], shading: bs.Recipe, recipe: bs.Recipe, tmp_path: Path
) -> None:
    sources, depth, _ = photos
    generate(
        DatasetRequest(
            sources=sources, recipe=shading, **SMALL, depth=depth, depth_format=bs.DepthFormat(fill="nearest")
        ),
        tmp_path / "with",
        workers=1,
    )
    document = json.loads((tmp_path / "with" / "dataset.json").read_text())
    assert document["schema"] == 6
    assert document["request"]["depth_format"] == {"fill": "nearest"}
    card = (tmp_path / "with" / "README.md").read_text()
    assert "Every source picture came with its depth map" in card
    assert 'Format of the depth maps: `{"fill": "nearest"}`' in card
    assert all(len(s["depth_sha256"]) == 64 and "labels" not in s for s in document["request"]["sources"])
    generate(DatasetRequest(sources=sources, recipe=recipe, **SMALL), tmp_path / "without", workers=1)
    document = json.loads((tmp_path / "without" / "dataset.json").read_text())
    assert document["schema"] == 6
    assert "depth_format" not in document["request"]
    assert all("depth" not in s for s in document["request"]["sources"])


def test_neither_workers_nor_shards_matter(photos: tuple[Path, Path, Path], tmp_path: Path) -> None:
    sources, depth, labels = photos
    recipe = bs.Recipe(
        [
            bs.kinds.Decode(),
            ("objects", bs.Random(bs.kinds.ObjectMotion, length_px=bs.Uniform(1.0, 8.0), spread_deg=180.0)),
            bs.kinds.Encode(),
        ]
    )
    common = {"depth": depth, "labels": labels, "count": 6, "size_px": 32}
    first = generate(
        DatasetRequest(sources=sources, recipe=recipe, **common, shard_length=6), tmp_path / "a", workers=1
    )
    second = generate(
        DatasetRequest(sources=sources, recipe=recipe, **common, shard_length=2), tmp_path / "b", workers=2
    )
    assert first.digest == second.digest


def test_resume_replay_and_verify_find_the_maps_or_say_what_is_wrong(
    photos: tuple[Path, Path, Path], shading: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, depth, labels = photos
    out = tmp_path / "out"
    generate(
        DatasetRequest(sources=sources, recipe=shading, **SMALL, depth=depth, labels=labels),
        out,
        workers=1,
        shards=(0, 1),
    )
    moved = depth.rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"Depth .*npy cannot be read"):
        resume(out, workers=1, kinds=KINDS)
    with pytest.raises(DatasetError, match="there is no such folder"):
        resume(out, workers=1, kinds=KINDS, depth_root=tmp_path / "nowhere")
    assert resume(out, workers=1, kinds=KINDS, depth_root=moved).finished
    assert replay(out, 0, kinds=KINDS, depth_root=moved, source_root=sources).equal  # labels are remembered
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nothing"))
    with pytest.raises(DatasetError, match="the location of the label maps of this data set is not known"):
        replay(out, 0, kinds=KINDS, source_root=sources, depth_root=moved)
    assert replay(out, 0, kinds=KINDS, source_root=sources, depth_root=moved, labels_root=labels).equal
    for path in moved.rglob("*.npy"):
        np.save(path, np.load(path) * 2)
    with pytest.raises(DatasetError, match="is not the depth map that was scanned"):
        replay(out, 0, kinds=KINDS, source_root=sources, depth_root=moved, labels_root=labels)
    found = verify(out, replay=2, kinds=KINDS, source_root=sources, depth_root=moved, labels_root=labels)
    assert "is not the depth map that was scanned" in found.problems[0].what


def test_other_maps_are_another_data_set(photos: tuple[Path, Path, Path], shading: bs.Recipe, tmp_path: Path) -> None:
    sources, depth, labels = photos
    generate(
        DatasetRequest(sources=sources, recipe=shading, **SMALL, depth=depth),
        tmp_path / "out",
        workers=1,
        shards=(0, 1),
    )
    with pytest.raises(DatasetError, match="was started with other arguments: sources"):
        generate(
            DatasetRequest(sources=sources, recipe=shading, **SMALL, depth=depth, labels=labels),
            tmp_path / "out",
            workers=1,
        )
    form = bs.DepthFormat(meters_per_code=2.0)
    with pytest.raises(DatasetError, match="was started with other arguments: depth_format"):
        generate(
            DatasetRequest(sources=sources, recipe=shading, **SMALL, depth=depth, depth_format=form),
            tmp_path / "out",
            workers=1,
        )


def test_pictures_without_a_usable_map_are_skipped(photos: tuple[Path, Path, Path], tmp_path: Path) -> None:
    sources, depth, _ = photos
    for name, size in (
        ("turned", (60, 40)),
        ("codes", (40, 60)),
        ("negative", (40, 60)),
        ("void", (40, 60)),
        ("two", (40, 60)),
    ):
        bs.write_picture(sources / f"{name}.png", np.random.default_rng(len(name)).random((3, *size)))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((np.random.default_rng(9).random((50, 70, 3)) * 255).astype(np.uint8)).save(
        sources / "exif.jpg", exif=exif
    )
    bs.write_picture(sources / "nomap.png", np.random.default_rng(0).random((3, 40, 60)))
    np.save(depth / "turned.npy", depth_of(40, 60))
    np.save(depth / "codes.npy", np.full((40, 60), 1500, np.uint16))
    np.save(depth / "negative.npy", -depth_of(40, 60))
    np.save(depth / "void.npy", np.full((40, 60), np.nan))
    np.save(depth / "two.npy", depth_of(40, 60))
    np.save(depth / "deep" / "two.npy", depth_of(40, 60))
    cv2.imwrite(str(depth / "two.png"), np.ones((40, 60), np.uint16))
    np.save(depth / "exif.npy", depth_of(50, 70))
    scan = scan_sources(sources, depth=depth)
    why = {s.name: s.why for s in scan.skipped}
    assert why.keys() == {"turned.png", "codes.png", "negative.png", "void.png", "two.png", "exif.jpg", "nomap.png"}
    assert why["turned.png"].startswith(
        "its depth map turned.npy: depth has 40 x 60 px (rows x columns), its picture 60 x 40"
    )
    assert why["exif.jpg"].startswith(
        "its depth map exif.npy: depth has 50 x 70 px (rows x columns), its picture 70 x 50"
    )
    assert "holds integers (uint16) up to 1500" in why["codes.png"]
    assert "2400 negative values of 2400" in why["negative.png"]
    assert "every pixel is NaN, infinite or 0" in why["void.png"]
    assert why["two.png"] == "it has several possible depth maps: two.npy, two.png"
    assert why["nomap.png"].startswith("there is no depth map nomap (.npy, ")
    assert len(scan.usable) == 3


def test_maps_are_found_by_path_then_by_name(photos: tuple[Path, Path, Path], tmp_path: Path) -> None:
    sources, depth, _ = photos
    (depth / "deep" / "photo2.npy").rename(depth / "photo2.npy")
    assert {s.depth for s in scan_sources(sources, depth=depth).usable} == {"photo0.npy", "photo1.npy", "photo2.npy"}
    # Two pictures of one name share no map.
    (sources / "other").mkdir()
    bs.write_picture(sources / "other" / "photo2.png", np.random.default_rng(3).random((3, 110, 110)))
    why = {s.name: s.why for s in scan_sources(sources, depth=depth).skipped}
    assert why.keys() == {"deep/photo2.png", "other/photo2.png"}
    assert why["deep/photo2.png"].startswith("several pictures are called photo2, and no depth map")
    # Of several folders, the maps need not repeat the folder's name.
    (tmp_path / "x").mkdir()
    shutil.copy(sources / "photo0.png", tmp_path / "x" / "photo0.png")
    found = scan_sources([tmp_path / "x", sources / "deep"], depth=depth)
    assert {s.name: s.depth for s in found.usable} == {"x/photo0.png": "photo0.npy", "deep/photo2.png": "photo2.npy"}


def test_one_picture_may_have_one_file(photos: tuple[Path, Path, Path]) -> None:
    sources, depth, _ = photos
    scan = scan_sources([sources / "photo0.png"], depth=depth / "photo0.npy")
    assert scan.usable[0].depth == "photo0.npy"
    with pytest.raises(InvalidValueError, match=r"depth is one file, .*photo0.npy, for 3 pictures"):
        scan_sources(sources, depth=depth / "photo0.npy")


def test_bad_arguments(photos: tuple[Path, Path, Path], recipe: bs.Recipe, tmp_path: Path) -> None:
    sources, depth, _ = photos
    with pytest.raises(PictureError, match=r"nowhere: there is no such folder of depth maps\. Check the path"):
        scan_sources(sources, depth=tmp_path / "nowhere")
    with pytest.raises(InvalidValueError, match="depth_format is given without depth"):
        scan_sources(sources, depth_format=bs.DepthFormat())
    with pytest.raises(InvalidValueError, match="The scan belongs to another request: its depth is False"):
        plan(DatasetRequest(sources=sources, recipe=recipe, count=2, depth=depth), scan=scan_sources(sources))
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match=r"None of the 3 inputs can be used: .*there is no depth map"):
        scan_sources(sources, depth=tmp_path / "empty")


def test_a_scene_made_up_is_that_of_the_whole_picture(pictures: Path, tmp_path: Path) -> None:
    recipe = bs.Recipe(
        [
            bs.Random(bs.kinds.LayeredDepth, near_m=1.0, far_m=9.0, spacing_px=30.0, size_px=30.0),
            bs.kinds.Decode(),
            bs.Random(bs.kinds.ObjectMotion, length_px=bs.Uniform(3.0, 9.0), spread_deg=180.0),
            bs.kinds.Encode(),
        ]
    )
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1)
    different = 0
    for sample in bs.open_dataset(tmp_path / "out"):
        whole = sample.draw.pair(bs.read_frame(pictures / sample.source))
        for stored, frame in ((sample.sharp, whole.sharp), (sample.blurred, whole.blurred)):
            cut = np.moveaxis(frame.crop(sample.window.top, sample.window.left, 32, 32).image[0], 0, -1)
            assert np.abs(np.rint(cut * 255) - stored).max() <= 1
        different += not np.array_equal(sample.sharp, sample.blurred)
    assert different >= 4
    assert verify(tmp_path / "out", deep=True, replay=3).ok


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blursynth")


def test_command_line(photos: tuple[Path, Path, Path], tmp_path: Path) -> None:
    sources, depth, labels = photos
    for path in depth.rglob("*.npy"):
        codes = np.rint(np.load(path) * 5000).astype(np.uint16)
        cv2.imwrite(str(path.with_suffix(".png")), codes)
        path.unlink()
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'summary = "moves"\n[[step]]\nkind = "decode"\n[[step]]\nkind = "object_motion"\nlength_px = { uniform = [2.0, 6.0] }\n'
        '[[step]]\nkind = "encode"\n'
    )
    out = tmp_path / "out"
    common = ("--recipe", recipe, "--count", 4, "--size", 32, "--workers", 1)
    maps = ("--depth", depth, "--labels", labels)
    result = run("generate", sources, out, *common, *maps)
    assert result.exit_code == 2
    assert "which are codes, not meters" in result.stderr
    result = run("generate", sources, out, *common, *maps, "--depth-format", "meters_per_code=1/5000,fill=nearest")
    assert result.exit_code == 0, result.output
    assert dataset.open_dataset(out).spec.depth_format == {"meters_per_code": 1 / 5000, "fill": "nearest"}
    assert run("verify", out, "--replay", 2).exit_code == 0
    moved = depth.rename(tmp_path / "elsewhere")
    result = run("replay", out, 0)
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    assert run("replay", out, 0, "--depth", moved).exit_code == 0
    sheet = tmp_path / "sheet.png"
    result = run(
        "preview", sources / "photo0.png", "--recipe", recipe, "--size", 32, "--count", 2, "-o", sheet,
        "--depth", moved / "photo0.png", "--depth-format", "meters_per_code=0.0002", "--labels", labels,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert sheet.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--depth-format", "meters_per_code=1"), "--depth-format is given without --depth."),
        (("--depth", "{depth}", "--depth-format", "meters"), "--depth-format must be NAME=VALUE, separated by commas, got 'meters'."),
        (("--depth", "{depth}", "--depth-format", "scale=2"), "--depth-format: has no field 'scale'."),
        (("--depth", "{depth}", "--depth-format", "meters_per_code=-1"), "--depth-format: meters_per_code must be > 0"),
        (("--depth", "{depth}", "--depth-format", "baseline_m=1"), "baseline_m is given without focal_length_px"),
        (("--depth", "nowhere"), "nowhere: there is no such folder of depth maps."),
    ],
)  # fmt: skip
def test_command_line_errors(
    photos: tuple[Path, Path, Path], tmp_path: Path, options: Sequence[str], words: str
) -> None:
    sources, depth, _ = photos
    result = run("generate", sources, tmp_path / "out", "-n", 2, *(o.replace("{depth}", str(depth)) for o in options))
    assert result.exit_code == 2
    assert words in result.stderr, result.stderr
    assert not (tmp_path / "out").exists()


def test_a_lens_that_focuses_on_what_is_in_the_window(photos: tuple[Path, Path, Path], tmp_path: Path) -> None:
    sources, depth, _ = photos
    recipe = bs.Recipe(
        [
            bs.kinds.Decode(),
            bs.kinds.SetIntrinsics(focal_length_mm=4.2, pixel_pitch_um=4.2),
            ("lens", bs.Random(bs.kinds.Defocus, f_number=0.5, focus_distance_m=bs.DepthQuantile(0.1, 0.9))),
            bs.kinds.Encode(),
        ]
    )
    generate(DatasetRequest(sources=sources, recipe=recipe, **SMALL, depth=depth), tmp_path / "out", workers=1)
    assert verify(tmp_path / "out", deep=True, replay=3).ok
    for sample in bs.open_dataset(tmp_path / "out"):
        window = sample.window
        path = sources / sample.source
        meters = np.load(depth / path.relative_to(sources).with_suffix(".npy"))
        inside = meters[window.top : window.top + 32, window.left : window.left + 32]
        assert inside.min() <= sample.draw["lens"].focus_distance_m <= inside.max()
        whole = sample.draw(bs.read_frame(path, depth=meters))
        cut = np.moveaxis(whole.crop(window.top, window.left, 32, 32).image[0], 0, -1)
        assert np.abs(np.rint(cut * 255) - sample.blurred).max() <= 1
