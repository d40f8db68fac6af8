"""Whole photographs become pairs of files: in tiles as at once, resumable, for what trains on folders."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import DatasetRequest, blur_pictures, whole
from blursynth.dataset.folder import DatasetFolder
from blursynth.dataset.generate import prepare
from blursynth.errors import DatasetError, InvalidValueError, PictureError, RecipeError
from blursynth.io.pictures import read_pixels

# What is laid down tap by tap, noise keyed per pixel, a Bayer mosaic, and JPEG's grid: all of these know their place.
CAMERA = bs.Recipe(
    [
        ("decode", bs.kinds.Decode()),
        ("shake", bs.Random(bs.kinds.LinearMotion, length_px=bs.Uniform(5.0, 12.0), angle_deg=bs.Uniform(0.0, 180.0))),
        ("sensor", bs.Random(bs.kinds.Sensor, full_well_e=3000.0, read_noise_e=2.0, mosaic="RGGB")),
        ("develop", bs.kinds.Develop()),
        ("encode", bs.kinds.Encode()),
        ("jpeg", bs.Random(bs.kinds.Jpeg, quality=bs.Integer(60, 95))),
    ],
    name="camera",
)
SOFT = bs.Recipe(
    [bs.kinds.Decode(), bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.5, 2.0)), bs.kinds.Encode()], name="soft"
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for name, height, width in (("a", 150, 211), ("street/b", 97, 64), ("c", 30, 205)):
        bs.write_picture(folder / f"{name}.png", rng.uniform(size=(3, height, width)))
    return folder


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "draws.jsonl").read_text().splitlines()]


def files(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*.*")) if p.is_file()}


def test_tiles_are_the_whole_picture_and_the_record_makes_it_again(photos: Path, tmp_path: Path) -> None:
    report = blur_pictures(
        DatasetRequest(sources=photos, recipe=CAMERA, seed=4), tmp_path / "tiled", tile_px=64, workers=2
    )
    blur_pictures(DatasetRequest(sources=photos, recipe=CAMERA, seed=4), tmp_path / "whole", tile_px=0, workers=1)
    assert report.made == ("a.png", "c.png", "street/b.png")
    assert (report.kept, report.skipped, report.notes) == ((), (), ())
    tiled, at_once = files(tmp_path / "tiled"), files(tmp_path / "whole")
    assert {n for n in tiled if n.endswith(".png")} == {
        f"{half}/{name}" for half in ("sharp", "blurred") for name in report.made
    }
    for name in tiled:
        assert name == "request.json" or tiled[name] == at_once[name], name
    for record in records(tmp_path / "tiled"):
        frame = bs.read_frame(photos / record["source"])
        assert (record["height"], record["width"]) == frame.size_px
        assert record["reach"] > 5
        pair = bs.Draw.from_dict(record["draw"], bs.kinds.ALL).pair(frame)
        for half, made in (("sharp", pair.sharp), ("blurred", pair.blurred)):
            written = tmp_path / "tiled" / half / record["name"]
            assert (read_pixels(written) == np.rint(made.image[0].transpose(1, 2, 0) * 255)).all()
            about = record["files"][half]
            assert about == {
                "sha256": hashlib.sha256(written.read_bytes()).hexdigest(),
                "bytes": written.stat().st_size,
            }


def test_where_transforms_are_used_tiles_agree_up_to_rounding(photos: Path, tmp_path: Path) -> None:
    wide = bs.Recipe([bs.kinds.Decode(), bs.kinds.DiskBlur(diameter_px=41.0), bs.kinds.Encode()], name="wide")
    for tile in (64, 0):
        blur_pictures(
            DatasetRequest(sources=photos / "a.png", recipe=wide), tmp_path / str(tile), tile_px=tile, workers=1
        )
    one, other = (read_pixels(tmp_path / tile / "blurred" / "a.png").astype(int) for tile in ("64", "0"))
    assert np.abs(one - other).max() <= 1
    assert (one != other).mean() < 1e-3


def test_what_cannot_be_tiled_is_done_at_once(photos: Path, tmp_path: Path) -> None:
    round_about = bs.Recipe(
        [bs.kinds.Decode(), bs.kinds.LinearMotion(length_px=9.0, angle_deg=0.0, border="circular"), bs.kinds.Encode()],
        name="round",
    )
    blur_pictures(DatasetRequest(sources=photos / "c.png", recipe=round_about), tmp_path / "out", tile_px=64, workers=1)
    expected = round_about.sample(bs.read_frame(photos / "c.png"), seed=0, index=0)(bs.read_frame(photos / "c.png"))
    made = read_pixels(tmp_path / "out" / "blurred" / "c.png")
    assert (made == np.rint(expected.image[0].transpose(1, 2, 0) * 255)).all()
    assert records(tmp_path / "out")[0]["reach"] is None


def test_memory_grows_with_the_tile_alone(tmp_path: Path) -> None:
    """No frame of floating-point numbers is larger than a tile with its margin."""
    bs.write_picture(tmp_path / "large.png", np.random.default_rng(2).uniform(size=(3, 300, 1500)))
    request = DatasetRequest(sources=tmp_path / "large.png", recipe=SOFT, size_px=8)
    prepared = prepare(request, workers=1)
    largest = 0

    class Watched(whole.Renderer):
        def region(self, source: int, top: int, left: int, height: int, width: int) -> bs.Frame:
            nonlocal largest
            largest = max(largest, height, width)
            return super().region(source, top, left, height, width)

    out = tmp_path / "out"
    out.mkdir()
    (out / "request.json").write_text("{}")
    folder = DatasetFolder.begun(out, description="request.json")
    whole._pair(folder, Watched(prepared.spec, SOFT, prepared.scan.roots), 0, "large.png", 64)
    assert 64 < largest <= 64 + 2 * 16


def test_deblur_reads_the_result(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from deblur_models.data import open_pairs

    blur_pictures(DatasetRequest(sources=photos, recipe=SOFT), tmp_path / "out", workers=1)
    pairs = open_pairs(tmp_path / "out")
    assert len(pairs) == 3
    pairs.check()
    by_size = {pair.sharp.shape: pair for pair in pairs}
    assert set(by_size) == {(150, 211, 3), (97, 64, 3), (30, 205, 3)}
    assert by_size[97, 64, 3].sharp.std() > by_size[97, 64, 3].blurred.std()


def test_it_goes_on_where_it_was_stopped_and_adds_what_is_new(photos: Path, tmp_path: Path) -> None:
    blur_pictures(DatasetRequest(sources=photos, recipe=CAMERA, seed=4), tmp_path / "whole", workers=1)
    out = tmp_path / "out"
    first = blur_pictures(
        DatasetRequest(sources=[photos / "a.png", photos / "c.png"], recipe=CAMERA, seed=4), out, workers=1
    )
    assert first.made == ("a.png", "c.png")
    before = (out / "sharp" / "a.png").stat().st_mtime_ns
    # Stopped in the middle of a line, with one file cut off and litter of a writer.
    lines = (out / "draws.jsonl").read_bytes()
    (out / "draws.jsonl").write_bytes(lines + b'{"name": "str')
    (out / "blurred" / "c.png").write_bytes(b"cut")
    (out / "sharp" / "c.png.host.123.partial").write_bytes(b"litter")
    second = blur_pictures(DatasetRequest(sources=photos, recipe=CAMERA, seed=4), out, workers=2)
    assert (second.made, second.kept) == (("c.png", "street/b.png"), ("a.png",))
    assert (out / "sharp" / "a.png").stat().st_mtime_ns == before
    assert files(out) == files(tmp_path / "whole")
    third = blur_pictures(DatasetRequest(sources=photos, recipe=CAMERA, seed=4), out, workers=1)
    assert (third.made, len(third.kept)) == ((), 3)
    with pytest.raises(DatasetError, match=r"started with other arguments: seed \(4 there, 5 now\)"):
        blur_pictures(DatasetRequest(sources=photos, recipe=CAMERA, seed=5), out, workers=1)
    with pytest.raises(DatasetError, match="started with other arguments: recipe"):
        blur_pictures(DatasetRequest(sources=photos, recipe=SOFT, seed=4), out, workers=1)


def test_a_stop_keeps_what_is_finished(photos: Path, tmp_path: Path) -> None:
    def stop(progress: dataset.Progress) -> None:
        if progress.stage == "generate" and progress.done == 1:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        blur_pictures(DatasetRequest(sources=photos, recipe=SOFT), tmp_path / "out", workers=1, on_progress=stop)
    assert len(records(tmp_path / "out")) == 1
    assert threading.active_count() <= before, "no thread works on after it"
    report = blur_pictures(DatasetRequest(sources=photos, recipe=SOFT), tmp_path / "out", workers=1)
    assert (len(report.made), len(report.kept)) == (2, 1)


def test_a_changed_picture_is_made_again_under_its_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    bs.write_picture(tmp_path / "photos" / "a.png", rng.uniform(size=(3, 40, 50)))
    blur_pictures(DatasetRequest(sources=tmp_path / "photos", recipe=SOFT), tmp_path / "out", workers=1)
    old = records(tmp_path / "out")
    bs.write_picture(tmp_path / "photos" / "a.png", rng.uniform(size=(3, 40, 50)))
    bs.write_picture(tmp_path / "photos" / "a.jpg", rng.uniform(size=(3, 40, 50)))
    report = blur_pictures(DatasetRequest(sources=tmp_path / "photos", recipe=SOFT), tmp_path / "out", workers=1)
    assert report.made == ("a.jpg.png", "a.png"), "two of one stem keep their names apart"
    new = {record["name"]: record for record in records(tmp_path / "out")}
    assert new["a.png"]["source"] == "a.png"
    assert new["a.png"]["draw"] != old[0]["draw"], "another picture has another draw"


def test_depth_of_codes_stays(tmp_path: Path) -> None:
    values = np.random.default_rng(6).uniform(size=(3, 40, 48))
    bs.write_picture(tmp_path / "photos" / "deep.png", values, bit_depth=16)
    bs.write_picture(tmp_path / "photos" / "plain.png", values[:, :32])
    report = blur_pictures(DatasetRequest(sources=tmp_path / "photos", recipe=SOFT), tmp_path / "8", workers=1)
    assert read_pixels(tmp_path / "8" / "sharp" / "deep.png").dtype == np.uint16
    assert read_pixels(tmp_path / "8" / "sharp" / "plain.png").dtype == np.uint8
    (note,) = report.notes
    assert note.startswith("1 16-bit picture was rounded to 8 bits by the last step of recipe soft")
    fine = bs.Recipe(
        [bs.kinds.Decode(), bs.kinds.GaussianBlur(sigma_px=1.0), bs.kinds.Encode(bit_depth=16)], name="fine"
    )
    assert not blur_pictures(DatasetRequest(sources=tmp_path / "photos", recipe=fine), tmp_path / "16", workers=1).notes
    sharp = read_pixels(tmp_path / "16" / "sharp" / "deep.png")
    assert np.abs(sharp.astype(int) - np.rint(values.transpose(1, 2, 0) * 65535)).max() <= 1
    light = bs.Recipe([bs.kinds.Decode(), bs.kinds.GaussianBlur(sigma_px=1.0)], name="light")
    blur_pictures(
        DatasetRequest(sources=tmp_path / "photos" / "plain.png", recipe=light), tmp_path / "light", workers=1
    )
    made = cv2.imread(str(tmp_path / "light" / "sharp" / "plain.tif"), cv2.IMREAD_UNCHANGED)
    expected = bs.kinds.Decode()(bs.read_frame(tmp_path / "photos" / "plain.png")).image[0].transpose(1, 2, 0)
    assert (made[..., ::-1] == expected).all()


def test_depth_and_labels_are_used(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    bs.write_picture(tmp_path / "photos" / "a.png", rng.uniform(size=(3, 90, 130)))
    depth = np.full((90, 130), 5.0, np.float32)
    depth[:, 60:] = 1.0
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "a.npy", depth)
    camera = bs.kinds.SetIntrinsics(
        focal_length_mm=50.0, pixel_pitch_um=10.0
    )  # a circle of 50 px in front, which reaches 25 px over
    recipe = bs.Recipe(
        [camera, bs.kinds.Decode(), bs.kinds.Defocus(f_number=4.0, focus_distance_m=5.0), bs.kinds.Encode()],
        name="focus",
    )
    for tile in (64, 0):
        blur_pictures(
            DatasetRequest(sources=tmp_path / "photos", recipe=recipe, depth=tmp_path / "depth"),
            tmp_path / str(tile),
            tile_px=tile,
            workers=1,
        )
    one, other = (read_pixels(tmp_path / tile / "blurred" / "a.png").astype(int) for tile in ("64", "0"))
    assert np.abs(one - other).max() <= 1
    sharp = read_pixels(tmp_path / "0" / "sharp" / "a.png").astype(int)
    assert np.abs(sharp - other)[:, :30].max() <= 1, "what is in focus stays sharp"
    assert np.abs(sharp - other)[:, 90:].mean() > 10
    (record,) = records(tmp_path / "0")
    assert record["depth_sha256"] == hashlib.sha256((tmp_path / "depth" / "a.npy").read_bytes()).hexdigest()


def test_one_bad_picture_stops_no_other(photos: Path, tmp_path: Path) -> None:
    bs.write_picture(tmp_path / "in" / "good.png", np.random.default_rng(8).uniform(size=(3, 40, 48)))
    bs.write_picture(tmp_path / "in" / "same.png", np.random.default_rng(8).uniform(size=(3, 40, 48)))
    (tmp_path / "in" / "cut.png").write_bytes((photos / "a.png").read_bytes()[:5000])
    (tmp_path / "in" / "none.jpg").write_bytes(b"")
    report = blur_pictures(DatasetRequest(sources=tmp_path / "in", recipe=SOFT), tmp_path / "out", workers=1)
    assert report.made == ("good.png",)
    assert {s.name for s in report.skipped} == {"cut.png", "none.jpg"}
    assert [s.name for s in report.duplicates] == ["same.png"]
    listed = json.loads((tmp_path / "out" / "skipped.json").read_text())
    assert {entry["name"] for entry in listed["skipped"]} == {"cut.png", "none.jpg"}


def test_bad_wishes_are_told_before_anything_is_written(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"tile_px must be 0 .* >= 64, got 10"):
        blur_pictures(DatasetRequest(sources=photos, recipe=SOFT), tmp_path / "out", tile_px=10)
    with pytest.raises(InvalidValueError, match="workers must be"):
        blur_pictures(DatasetRequest(sources=photos, recipe=SOFT), tmp_path / "out", workers=0)
    with pytest.raises(InvalidValueError, match="seed must be"):
        blur_pictures(DatasetRequest(sources=photos, recipe=SOFT, seed=-1), tmp_path / "out")
    with pytest.raises(DatasetError, match="is inside the folder of the sources"):
        blur_pictures(DatasetRequest(sources=photos, recipe=SOFT), photos / "pairs")
    with pytest.raises(PictureError, match="no such file or folder"):
        blur_pictures(DatasetRequest(sources=tmp_path / "nowhere", recipe=SOFT), tmp_path / "out")
    raw = bs.Recipe([bs.kinds.Decode(), bs.kinds.Sensor(full_well_e=500.0, read_noise_e=1.0, seed=1)], name="raw")
    with pytest.raises(RecipeError, match="raw sensor values"):
        blur_pictures(DatasetRequest(sources=photos, recipe=raw), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds something else \(letter.txt\)"):
        blur_pictures(DatasetRequest(sources=photos, recipe=SOFT), tmp_path / "other")


def test_records_of_others_lead_nowhere_else(photos: Path, tmp_path: Path) -> None:
    """A name in draws.jsonl is not a path out of the folder."""
    out = tmp_path / "out"
    blur_pictures(DatasetRequest(sources=photos / "c.png", recipe=SOFT), out, workers=1)
    (record,) = records(out)
    for name in ("../../escaped.png", "/tmp/escaped.png"):
        (out / "draws.jsonl").write_text(json.dumps({**record, "name": name, "source_sha256": "0" * 64}) + "\n[]\n7\n")
        report = blur_pictures(DatasetRequest(sources=photos / "c.png", recipe=SOFT), out, workers=1)
        assert report.made == ("c.png",)
    assert not list(tmp_path.glob("escaped*"))
