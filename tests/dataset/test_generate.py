from __future__ import annotations

import errno
import json
import os
import shutil
from collections import namedtuple
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import DatasetRequest, engine, files, generate, plan, resume, verify
from blursynth.errors import DatasetError, InvalidValueError, RecipeError

SMALL: dict[str, Any] = {"count": 6, "size_px": 32, "shard_length": 3}


def test_the_report_says_what_was_done(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    seen = []
    report = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1, on_progress=seen.append
    )
    assert (report.count, report.shards, report.made, report.kept, report.samples) == (6, 2, (0, 1), (), 6)
    assert report.finished
    assert set(report.digest) == {"pixels", "draws"}
    assert report.disk_bytes > 0
    made = [p for p in seen if p.stage == "generate"]
    assert (made[0].done, made[-1].done, made[-1].total) == (0, 6, 6)
    again = generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1)
    assert (again.made, again.kept, again.digest) == ((), (0, 1), report.digest)


def test_windows_lie_with_their_reach_inside_the_picture(made: Path) -> None:
    spec = dataset.open_dataset(made).spec
    sizes = {s.name: (s.height, s.width) for s in spec.sources}
    corners = set()
    for record in dataset.open_dataset(made).records():
        window = record["window"]
        height, width = sizes[record["source"]]
        assert window["reach"] > 0
        for start, extent in ((window["top"], height), (window["left"], width)):
            assert start - window["reach"] >= 0
            assert start + window["size"] + window["reach"] <= extent
        corners.add((window["top"], window["left"]))
    assert len(corners) > 5


def test_a_sample_is_the_same_region_of_the_whole_picture_blurred(pictures: Path, tmp_path: Path) -> None:
    """No border reaches the stored square: it equals a cut of the whole picture's blur, noise included."""
    recipe = bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            ("lens", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.5, 1.5))),
            ("sensor", bs.Random(bs.kinds.Sensor, full_well_e=2000.0)),
            ("develop", bs.kinds.Develop()),
            ("encode", bs.kinds.Encode()),
        ]
    )
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    for sample in bs.open_dataset(out):
        whole = sample.draw.pair(bs.read_frame(pictures / sample.source))
        box = (sample.window.top, sample.window.left, 32, 32)
        for stored, frame in ((sample.sharp, whole.sharp), (sample.blurred, whole.blurred)):
            cut = np.moveaxis(frame.crop(*box).image[0], 0, -1)
            assert np.abs(np.rint(cut * 255) - stored).max() <= 1  # convolution may round differently by position


def test_plan_foresees_what_generate_makes(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    request = DatasetRequest(sources=pictures, recipe=recipe, **SMALL)
    foreseen = plan(request, workers=1, out=tmp_path / "out", trials=3)
    assert not (tmp_path / "out").exists()
    report = generate(request, tmp_path / "out", scan=foreseen.scan, workers=1)
    assert (foreseen.count, foreseen.shards) == (report.count, report.shards)
    assert foreseen.raw_bytes == 2 * 6 * 32 * 32 * 3
    assert 0.4 < foreseen.disk_bytes / report.disk_bytes < 2.5
    assert foreseen.seconds > 0
    assert foreseen.largest_reach_px > 0
    assert foreseen.free_bytes is not None


def test_default_shards_give_all_workers_something_to_do(pictures: Path) -> None:
    scan, recipe = (
        dataset.scan_sources(pictures),
        bs.Recipe([bs.kinds.Decode(), bs.kinds.Encode()]),
    )  # quick to try out 2000 times
    request = DatasetRequest(sources=pictures, recipe=recipe, count=10_000, size_px=32)
    sizes = {w: plan(request, scan=scan, workers=w, trials=0).shard_length for w in (1, 8, 64)}
    assert sizes[8] <= 10_000 / 8
    assert sizes[64] <= 10_000 / 64
    assert sizes[1] * 32 * 32 * 3 <= 256 * 2**20


def test_linear_results_are_stored_as_floats(pictures: Path, tmp_path: Path) -> None:
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("lens", bs.kinds.GaussianBlur(sigma_px=1.0))])
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1)
    sample = bs.open_dataset(tmp_path / "out")[0]
    assert sample.sharp.dtype == np.float32
    frame = bs.read_frame(pictures / sample.source)
    window = sample.window
    np.testing.assert_array_equal(
        sample.sharp,
        np.moveaxis(bs.kinds.Decode()(frame).crop(window.top, window.left, 32, 32).image[0], 0, -1),
    )


def test_sixteen_bits_are_stored_as_sixteen(pictures: Path, tmp_path: Path) -> None:
    steps = [
        ("decode", bs.kinds.Decode()),
        ("lens", bs.kinds.GaussianBlur(sigma_px=1.0)),
        ("encode", bs.kinds.Encode(bit_depth=16)),
    ]
    generate(DatasetRequest(sources=pictures, recipe=bs.Recipe(steps), **SMALL), tmp_path / "out", workers=1)
    sample = bs.open_dataset(tmp_path / "out")[0]
    assert sample.sharp.dtype == sample.blurred.dtype == np.uint16
    window, frame = sample.window, bs.read_frame(pictures / sample.source)
    light = bs.kinds.GaussianBlur(sigma_px=1.0)(bs.kinds.Decode()(frame))
    codes = np.rint(bs.kinds.Encode(bit_depth=16)(light).image[0] * 65535.0)[
        :, window.top : window.top + 32, window.left : window.left + 32
    ]
    assert np.abs(np.moveaxis(codes, 0, -1) - sample.blurred).max() <= 1
    assert dataset.verify(tmp_path / "out", deep=True, replay=3).ok
    compressed = bs.Recipe([*steps, ("jpeg", bs.kinds.Jpeg(quality=90))])
    assert (
        dataset.plan(dataset.DatasetRequest(sources=[str(pictures)], recipe=compressed, count=4, size_px=32))
        .spec.arrays[0]
        .dtype
        == "uint8"
    )


def test_crops_per_source_shares_pictures(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    generate(
        DatasetRequest(sources=pictures, recipe=recipe, **{**SMALL, "count": 12}, crops_per_source=4),
        tmp_path / "out",
        workers=1,
    )
    sources = [r["source"] for r in dataset.open_dataset(tmp_path / "out").records()]
    for start in (0, 4, 8):
        assert len(set(sources[start : start + 4])) == 1


def test_a_source_too_small_for_the_reach_is_replaced(tmp_path: Path, recipe: bs.Recipe) -> None:
    from_small = np.random.default_rng(0).random((3, 34, 34))
    bs.write_picture(tmp_path / "in" / "small.png", from_small)
    bs.write_picture(tmp_path / "in" / "large.png", np.random.default_rng(1).random((3, 90, 90)))
    wide = bs.Recipe(
        [("decode", bs.kinds.Decode()), ("b", bs.kinds.DiskBlur(diameter_px=12.0)), ("encode", bs.kinds.Encode())]
    )
    generate(DatasetRequest(sources=tmp_path / "in", recipe=wide, **SMALL), tmp_path / "out", workers=1)
    assert {r["source"] for r in dataset.open_dataset(tmp_path / "out").records()} == {"large.png"}
    (tmp_path / "in" / "large.png").unlink()
    with pytest.raises(RecipeError, match=r"reaches \d+ px beyond the 32 px window.*largest of 1 has 34 x 34"):
        generate(DatasetRequest(sources=tmp_path / "in", recipe=wide, **SMALL), tmp_path / "other", workers=1)


def test_what_was_begun_with_other_arguments_is_refused(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    other = bs.Recipe(
        [*recipe.steps[:1], ("lens", bs.kinds.GaussianBlur(sigma_px=1.0)), *recipe.steps[2:]], name="small"
    )
    with pytest.raises(DatasetError, match="started with other arguments: recipe"):
        generate(DatasetRequest(sources=pictures, recipe=other, **SMALL), out, workers=1)
    with pytest.raises(DatasetError, match=r"seed \(0 there, 1 now\)"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL, seed=1), out, workers=1)
    with pytest.raises(DatasetError, match="shard_length"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **{**SMALL, "shard_length": 2}), out, workers=1)
    without = {k: v for k, v in SMALL.items() if k != "shard_length"}
    assert generate(DatasetRequest(sources=pictures, recipe=recipe, **without), out).kept == (0, 1)


def test_another_environment_is_refused_unless_allowed(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1, shards=(0, 1))
    path = out / "dataset.json"
    document = json.loads(path.read_text())
    document["environment"]["versions"]["numba"] = "0.1"
    del document["sha256"]
    path.write_bytes(files.sealed(document))
    with pytest.raises(DatasetError, match=r"started in another environment \(numba 0.1 there"):
        resume(out, workers=1)
    assert resume(out, workers=1, any_environment=True).finished


def test_ranges_of_shards_make_the_whole(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    whole = generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "whole", workers=1)
    first = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1, shards=(1, 2)
    )
    assert (first.made, first.finished, first.digest) == ((1,), False, {})
    with pytest.raises(DatasetError, match=r"not finished \(1 of 2 shards\)"):
        bs.open_dataset(tmp_path / "out")
    with pytest.raises(DatasetError, match="manifest is missing"):
        dataset.finalize(tmp_path / "out")
    partial = bs.open_dataset(tmp_path / "out", allow_unfinished=True)
    assert partial[3].sharp.shape == (32, 32, 3)
    with pytest.raises(DatasetError, match="shard 0 is not finished"):
        partial[0]
    assert len(list(partial.records())) == 3
    second = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1, shards=(0, 1)
    )
    assert second.finished
    assert second.digest == whole.digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 0}, "count must be >= 1, got 0"),
        ({"count": 2.0}, "count must be an integer"),
        ({"count": None}, "count is missing"),
        ({"size_px": 4}, "size_px must be >= 8"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"seed": 2**63}, "seed must be < 9223372036854775808"),
        ({"workers": 0}, "workers must be an integer >= 1"),
        ({"shard_length": 0}, "shard_length must be >= 1"),
        ({"shards": (2, 2)}, r"shards must be \(a, b\) with 0 <= a < b"),
        ({"shards": (7, 9)}, "lie beyond the last; the data set has 2"),
        ({"store": "kernl"}, "Did you mean 'kernel'"),
        ({"store": "kernel", "kernel_size_px": 4}, "kernel_size_px must be odd"),
        ({"store": "kernel", "kernel_size_px": 3}, "kernel_size_px must be at least .* got 3"),
        ({"crops_per_source": 0}, "crops_per_source must be"),
        ({"engine": "slurm"}, "engine must be 'local', 'dask'"),
    ],
)
def test_wrong_arguments(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    run = {name: changes.pop(name) for name in ("workers", "shards", "engine") if name in changes}
    with pytest.raises(InvalidValueError, match=words) as caught:
        generate(
            DatasetRequest(sources=pictures, recipe=recipe, **{**SMALL, **changes}),
            tmp_path / "out",
            **{"workers": 1, **run},
        )
    assert caught.value.field in {*changes, *run}


def test_recipes_whose_result_cannot_be_stored(pictures: Path, tmp_path: Path) -> None:
    raw = bs.Recipe([("decode", bs.kinds.Decode()), ("sensor", bs.Random(bs.kinds.Sensor, full_well_e=1000.0))])
    with pytest.raises(RecipeError, match="raw sensor values"):
        generate(DatasetRequest(sources=pictures, recipe=raw, **SMALL), tmp_path / "out", workers=1)
    light = bs.Recipe([("lens", bs.kinds.GaussianBlur(sigma_px=1.0)), ("encode", bs.kinds.Encode())])
    with pytest.raises(RecipeError, match=r"takes linear frames.*decode step"):
        generate(DatasetRequest(sources=pictures, recipe=light, **SMALL), tmp_path / "out", workers=1)


def test_nothing_of_someone_else_is_overwritten(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("dear")
    with pytest.raises(DatasetError, match=r"holds something else \(thesis.tex\)"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "mine", workers=1)
    with pytest.raises(DatasetError, match="is a file"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "mine" / "thesis.tex", workers=1)


def test_a_folder_that_cannot_be_written(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.mkdir

    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        if "locked" in self.parts:  # permissions do not stop root, under which tests may run
            raise PermissionError(errno.EACCES, "Permission denied")
        original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DatasetError, match="cannot be written"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "locked", workers=1)


def test_a_disk_too_small_is_refused_before_the_start(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 9000, 9000))
    with pytest.raises(DatasetError, match=r"needs about .*, but the disk has only .* left"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_whole_shards_only(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "whole", workers=1)
    original = os.fsync
    left = 9  # flushes until the disk is full, in the middle of the second shard

    def fsync(handle: int) -> None:
        nonlocal left
        if "1/0/0/0" in os.readlink(f"/proc/self/fd/{handle}"):
            left = 0
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(DatasetError, match="the disk is full"):
            generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1)
    assert not list((tmp_path / "out").rglob("*.partial"))
    assert [p.stem for p in (tmp_path / "out" / "manifest").iterdir()] == ["000000"]
    report = resume(tmp_path / "out", workers=1)
    assert (report.made, report.kept, report.digest) == ((1,), (0,), whole.digest)


def test_two_writers_of_one_shard_are_refused(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1, shards=(0, 1))
    with files.locked(out, 1, 2):
        with pytest.raises(DatasetError, match=f"process {os.getpid()} on .* is writing shards 1 to below 2"):
            resume(out, workers=1)
        assert resume(out, workers=1, shards=(0, 1)).kept == (0,)
    stale = out / ".locks" / "0-2"  # its owner died without a word
    stale.parent.mkdir()
    stale.write_text('{"pid": 1, "host": "gone"}')
    assert resume(out, workers=1).finished


def test_a_changed_source_is_noticed(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "in")
    out = tmp_path / "out"
    generate(DatasetRequest(sources=tmp_path / "in", recipe=recipe, **SMALL), out, workers=1, shards=(0, 1))
    for path in (tmp_path / "in").rglob("*.png"):
        bs.write_picture(path, np.zeros((3, 96, 96)))
    with pytest.raises(DatasetError, match="is not the picture that was scanned"):
        resume(out, workers=1)
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(DatasetError, match=r"Source .* cannot be read"):
        resume(out, workers=1)
    assert resume(out, workers=1, source_root=pictures).finished


def test_measured_kernels_travel_with_the_data_set(pictures: Path, tmp_path: Path) -> None:
    kernels = [np.outer([1, 2, 1], [1, 2, 1]), np.eye(5)]
    choice = bs.Choice([bs.assets.register(k) for k in kernels])
    recipe = bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            ("shake", bs.Random(bs.kinds.MeasuredBlur, kernel=choice)),
            ("encode", bs.kinds.Encode()),
        ]
    )
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1)
    assert len(list((tmp_path / "out" / "assets").glob("*.npy"))) == 2
    assert verify(tmp_path / "out", deep=True, replay=3).ok


class _ByBrightness:
    """Stands for a recipe whose draw depends on what is in the window: the darker, the wider the blur."""

    name = "by brightness"
    sees_frame = sees_pixels = True
    steps = ()

    def __init__(self) -> None:
        self.calls = 0

    def sample(self, frame: bs.Frame, *, seed: int, index: int) -> bs.Draw:
        self.calls += 1
        diameter = round(20 * (1 - float(frame.image.mean())), 3)
        blur = bs.kinds.DiskBlur(diameter_px=diameter)
        return bs.Draw((("decode", bs.kinds.Decode()), ("blur", blur), ("encode", bs.kinds.Encode())))

    def sample_within(
        self, frame: bs.Frame, window: tuple[int, int, int, int], *, seed: int, index: int
    ) -> tuple[bs.Draw, tuple[bs.Frame, ...]]:
        draw = self.sample(frame.crop(*window), seed=seed, index=index)
        return draw, draw.seen(frame)


def test_a_draw_that_sees_the_frame_is_that_of_the_final_window(pictures: Path, recipe: bs.Recipe) -> None:
    from blursynth.dataset.render import Renderer

    foreseen = plan(DatasetRequest(sources=pictures, recipe=recipe, count=20, size_px=32), trials=0)
    seeing = _ByBrightness()
    renderer = Renderer(foreseen.spec, seeing, foreseen.scan.roots)  # type: ignore[arg-type]
    for index in range(20):
        placement = renderer.place(index)
        window, source = placement.window, foreseen.spec.sources[placement.source]
        frame = bs.read_frame(foreseen.scan.path(source)).crop(window.top, window.left, 32, 32)
        assert placement.draw == seeing.sample(frame, seed=0, index=index)
        assert placement.draw.reach_px(frame) <= window.reach
        renderer.render(placement)
    assert seeing.calls > 2 * 20  # some windows had to be moved


def test_a_made_up_scene_is_computed_once_per_window_and_only_if_a_step_looks_at_it(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blursynth.dataset.render import Renderer

    calls = []
    surfaces = bs.kinds.LayeredDepth.surfaces

    def counted(step: bs.kinds.LayeredDepth, frame: bs.Frame) -> Any:
        calls.append(frame.size_px)
        return surfaces(step, frame)

    monkeypatch.setattr(bs.kinds.LayeredDepth, "surfaces", counted)
    scene = bs.Random(bs.kinds.LayeredDepth, near_m=0.5, far_m=8.0)
    camera = bs.kinds.SetIntrinsics(focal_length_mm=4.0, pixel_pitch_um=2.8)
    for lens, most in ((bs.Random(bs.kinds.Defocus, f_number=8.0, focus_distance_m=bs.DepthQuantile(0.2, 0.8)), 1),
                       (bs.Random(bs.kinds.GaussianBlur, sigma_px=1.0), 0)):  # fmt: skip
        recipe = bs.Recipe([bs.kinds.Decode(), camera, scene, lens, bs.kinds.Encode()])
        request = DatasetRequest(sources=pictures, recipe=recipe, count=8, size_px=32, min_detail=0.001)
        foreseen = plan(request, trials=0)
        renderer = Renderer(foreseen.spec, recipe, foreseen.scan.roots)
        for index in range(8):
            calls.clear()
            placement = renderer.place(index)
            windows = len(calls)
            renderer.render(placement)
            assert len(calls) == windows  # what placing found is used
            assert most <= windows <= 3 * most


def test_windows_come_from_everywhere_that_their_margin_allows(pictures: Path) -> None:
    blur = bs.Random(bs.kinds.DiskBlur, diameter_px=9.0)
    recipe = bs.Recipe([bs.kinds.Decode(), blur, bs.kinds.Encode()])
    foreseen = plan(DatasetRequest(sources=pictures, recipe=recipe, count=300, size_px=64), trials=0)
    from blursynth.dataset.render import Renderer

    renderer = Renderer(foreseen.spec, recipe, foreseen.scan.roots)
    windows = [(placement.source, placement.window) for placement in map(renderer.place, range(300))]
    for source, (height, width) in enumerate((s.height, s.width) for s in foreseen.spec.sources):
        for size, corners in ((height, {w.top for n, w in windows if n == source}),
                              (width, {w.left for n, w in windows if n == source})):  # fmt: skip
            assert min(corners) >= 4
            assert max(corners) <= size - 64 - 4
            assert len(corners) > 0.6 * (size - 64 - 7)


def test_a_draw_that_reaches_too_far_is_refused_before_anything_is_written(pictures: Path, tmp_path: Path) -> None:
    """One sample in many: found by looking at the draws, not by dying in the middle."""
    rare = bs.OneOf((30, bs.kinds.Identity()), (1, bs.kinds.DiskBlur(diameter_px=400.0)))
    recipe = bs.Recipe([bs.kinds.Decode(), ("blur", rare), bs.kinds.Encode()])
    request = DatasetRequest(sources=pictures, recipe=recipe, count=200, size_px=32)
    for make in (generate, plan):
        with pytest.raises(RecipeError, match="reaches 200 px beyond the 32 px window"):
            make(request, out=tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_the_kernel_array_must_hold_every_draw(pictures: Path, tmp_path: Path) -> None:
    rare = bs.OneOf((30, bs.kinds.Identity()), (1, bs.kinds.DiskBlur(diameter_px=21.0)))
    recipe = bs.Recipe([bs.kinds.Decode(), ("blur", rare), bs.kinds.Encode()])
    request = DatasetRequest(sources=pictures, recipe=recipe, count=200, size_px=32, store="kernel", kernel_size_px=15)
    with pytest.raises(InvalidValueError, match=r"kernel_size_px must be at least 21 .* got 15"):
        generate(request, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    assert generate(request.replace(kernel_size_px=21), tmp_path / "out", workers=1).finished


def test_what_workers_have_loaded_for_them_exists() -> None:
    """The fork server takes no notice of a module that is missing: workers would only be slow."""
    for name in engine._PRELOADED:
        import_module(name)
