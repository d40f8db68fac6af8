"""Which picture becomes which file, and files that cannot be restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blursynth.errors import InvalidValueError
from deblur_models.restore.files import plan_files, restore_files
from deblur_models.restore.network_restorer import Identity


def test_plan_names_every_picture_once_and_refuses_collisions(tmp_path: Path) -> None:
    for name in ("a/x.png", "a/.hidden/y.png", "b/x.png", "b/z.gif", "c/x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    a, b, out = tmp_path / "a", tmp_path / "b", tmp_path / "a" / "out"
    assert plan_files([a, a / "x.png"], out).jobs == [(a / "x.png", out / "x.png")]
    assert plan_files([b / "z.gif"], out, "-sharp").jobs == [(b / "z.gif", out / "z-sharp.png")]
    out.mkdir()
    (out / "old.png").write_bytes(b"")
    assert plan_files([a], out).jobs == [(a / "x.png", out / "x.png")]
    with pytest.raises(InvalidValueError, match="would both become"):
        plan_files([a / "x.png", b / "x.png"], out)
    with pytest.raises(InvalidValueError, match="would overwrite itself"):
        plan_files([a], a)
    assert plan_files([a / "x.png"], a, "-restored").jobs == [(a / "x.png", a / "x-restored.png")]
    with pytest.raises(InvalidValueError, match="no file matches this pattern"):
        plan_files([tmp_path / "*.png"], out)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InvalidValueError, match="holds no pictures"):
        plan_files([tmp_path / "nothing"], out)


def test_folders_are_planned_through_links_and_say_what_is_left_out(tmp_path: Path) -> None:
    for name in ("photos/x.png", "photos/x.gif", "photos/y.HEIC", "photos/z.xmp", "elsewhere/w.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "up").symlink_to(tmp_path)
    planned = plan_files([photos], out)
    assert {str(p.relative_to(photos)): str(t.relative_to(out)) for p, t in planned.jobs} == {
        "linked/w.jpg": "linked/w.jpg", "x.png": "x.png", "x.gif": "x.gif.png", "y.HEIC": "y.png",
    }  # fmt: skip
    assert planned.left_out == [(str(photos / "up"), "a link to a folder that contains it")]
    assert planned.ignored == {".xmp": 1}


def test_patterns_are_expanded_where_the_shell_does_not(tmp_path: Path) -> None:
    for name in ("one.png", "two.png", "three.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p, _ in plan_files([tmp_path / "*.png"], tmp_path / "out").jobs] == ["one.png", "two.png"]
    (tmp_path / "odd[1].png").write_bytes(b"")
    assert [p.name for p, _ in plan_files([tmp_path / "odd[1].png"], tmp_path / "out").jobs] == ["odd[1].png"]


def test_files_that_fail_are_named_and_the_others_restored(tmp_path: Path) -> None:
    codes = np.random.Generator(np.random.Philox(0)).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    good, bad, again = (tmp_path / name for name in ("good.png", "bad.png", "again.png"))
    for path in (good, again):
        Image.fromarray(codes).save(path)
    bad.write_bytes(b"no picture")
    out = tmp_path / "out"
    jobs = [(good, out / "good.png"), (bad, out / "bad.png"), (again, out / "good.png")]
    calls: list[tuple[int, str]] = []
    failed = restore_files(jobs, Identity(), on_file=lambda number, path: calls.append((number, path.name)))
    assert calls == [(0, "good.png"), (1, "bad.png"), (2, "again.png")]
    assert [Path(name).name for name, _ in failed] == ["bad.png", "again.png"]
    assert "is not a picture" in failed[0][1]
    assert "is the output of another picture" in failed[1][1]
    assert (np.asarray(Image.open(out / "good.png")) == codes).all()
    assert "already exists" in restore_files(jobs[:1], Identity())[0][1]
    assert restore_files(jobs[:1], Identity(), overwrite=True) == []
