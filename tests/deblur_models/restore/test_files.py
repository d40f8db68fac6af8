"""Which picture becomes which file, and files that cannot be restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.restore.files import BESIDE, plan_files, restore_files
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
    done = restore_files(jobs, Identity(), on_file=lambda number, path: calls.append((number, path.name)))
    failed = done.failed
    assert [(one.picture, one.target, one.changed_db) for one in done.restored] == [(good, out / "good.png", np.inf)]
    assert calls == [(0, "good.png"), (1, "bad.png"), (2, "again.png")]
    assert [Path(name).name for name, _ in failed] == ["bad.png", "again.png"]
    assert "is not a picture" in failed[0][1]
    assert "is the output of another picture" in failed[1][1]
    assert (np.asarray(Image.open(out / "good.png")) == codes).all()
    assert "already exists" in restore_files(jobs[:1], Identity()).failed[0][1]
    assert restore_files(jobs[:1], Identity(), overwrite=True).failed == []


class Brighter:
    """Adds .1 to every value."""

    name, needs_kernel = "brighter", False

    def restore(self, blurred: Tensor, kernels: object = None) -> Tensor:
        return blurred + 0.1


def test_strength_scales_the_change(tmp_path: Path) -> None:
    codes = np.random.Generator(np.random.Philox(0)).integers(20, 180, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(codes).save(tmp_path / "a.png")
    jobs = [(tmp_path / "a.png", tmp_path / "b.png")]
    for strength in (0.0, 0.4, 1.0, 1.5):
        (one,) = restore_files(jobs, Brighter(), strength=strength, overwrite=True).restored
        written = np.asarray(Image.open(tmp_path / "b.png")).astype(float)
        assert (written == np.rint(codes + 25.5 * strength)).mean() > 0.5  # halves round either way
        assert np.abs(written - codes - 25.5 * strength).max() <= 0.51
        assert one.changed_db == pytest.approx(20.0, abs=1e-3)  # of full strength, whatever is written
        assert not one.looks_sharp
    for strength in (-0.1, 1.6, float("nan")):
        with pytest.raises(InvalidValueError, match=r"strength must be 0 to 1\.5, got"):
            restore_files(jobs, Brighter(), strength=strength)


def test_pictures_next_to_their_originals(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "in/b.jpg", "in/c.gif", "in/b-deblurred.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    planned = plan_files([tmp_path], None, BESIDE)
    assert planned.jobs == [
        (tmp_path / "a.png", tmp_path / "a-deblurred.png"),
        (tmp_path / "in/b.jpg", tmp_path / "in/b-deblurred.jpg"),
        (tmp_path / "in/c.gif", tmp_path / "in/c-deblurred.png"),
    ]
    assert planned.ignored == {"restored": 1}
    one = tmp_path / "in/b-deblurred.jpg"  # named, it is meant
    assert plan_files([one], None, BESIDE).jobs == [(one, tmp_path / "in/b-deblurred-deblurred.jpg")]
    with pytest.raises(InvalidValueError, match="would overwrite itself"):
        plan_files([tmp_path / "a.png"], None, "")
