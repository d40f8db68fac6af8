"""The page of a study and its key: what is shown, what is refused, and that nothing tells raters what they see."""

from __future__ import annotations

import base64
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import blursynth as bs
from blursynth.errors import BlursynthError, DatasetError, InvalidValueError, PictureError
from blursynth.io.pictures import read_pixels
from deblur_models.cli import app as cli
from deblur_models.study import REFERENCE, MadeStudy, make_study, of_folders, read_key
from deblur_models.study.pictures import most_different


def settings_of(page: Path) -> dict[str, Any]:
    found = re.search(r'id="settings">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["study", *(str(a) for a in arguments)], prog_name="deblur")


@pytest.fixture(scope="module")
def made(versions: Any, tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    return make_study(versions, tmp_path_factory.mktemp("s") / "study", size_px=32, title="<script>alert(1)</script>")


class TestSingle:
    def test_shows_every_version_of_every_picture_once(self, made: MadeStudy) -> None:
        key = made.key
        assert key.methods == (REFERENCE, "blurred", "ours")
        shown = [(trial.content, *trial.methods) for trial in key.counted.values()]
        assert len(shown) == len(set(shown)) == 5 * 3
        assert made.trials == 15 + 3 + key.repeats == 20
        assert read_key(made.key_file) == key

    def test_practice_has_a_picture_of_its_own_and_both_ends_of_the_range(self, made: MadeStudy) -> None:
        practice = [trial for trial in made.key.trials.values() if trial.practice]
        assert {m for trial in practice for m in trial.methods} == set(made.key.methods)
        assert not {t.content for t in practice} & {t.content for t in made.key.counted.values()}

    def test_files_are_the_crops_that_the_key_says(self, made: MadeStudy, folders: Path) -> None:
        for trial in settings_of(made.page)["trials"]:
            known = made.key.trials[trial["id"]]
            (method,), content = known.methods, made.key.contents[known.content]
            whole = read_pixels(folders / ("sharp" if method == REFERENCE else method) / f"{content.name}.png")
            crop = whole[content.top : content.top + 32, content.left : content.left + 32]
            shown = read_pixels(made.page.parent / "pictures" / f"{trial['files'][0]}.png")
            np.testing.assert_array_equal(shown, crop)
            assert 50 <= content.top <= 58
            assert 10 <= content.left <= 23

    def test_nothing_tells_raters_what_they_see(self, made: MadeStudy) -> None:
        handed = [made.page.read_text("utf-8"), *(path.name for path in made.page.parent.rglob("*"))]
        for word in ("blurred", "ours", REFERENCE, "sharp", "img src=x"):
            assert not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for text in handed), word
        assert made.key_file.parent != made.page.parent
        assert len(list((made.page.parent / "pictures").iterdir())) == 6 * 3
        for path in (made.page.parent / "pictures").iterdir():
            assert re.fullmatch(r"[0-9a-f]{12}\.png", path.name)
            with Image.open(path) as picture:
                assert not picture.info
        order = [made.key.trials[trial["id"]].methods[0] for trial in settings_of(made.page)["trials"]]
        assert order != sorted(order, key=made.key.methods.index)

    def test_the_page_loads_nothing_and_runs_no_text(self, made: MadeStudy) -> None:
        page = made.page.read_text("utf-8")
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert page.count("<script") == 2
        assert not re.search(r"https?:", page)
        assert "default-src 'none'" in page

    def test_the_same_request_makes_the_same_study(self, made: MadeStudy, versions: Any, tmp_path: Path) -> None:
        title = "<script>alert(1)</script>"
        assert make_study(versions, tmp_path / "a", size_px=32, title=title).page.read_bytes() == made.page.read_bytes()
        other = make_study(versions, tmp_path / "b", size_px=32, title=title, seed=1)
        assert other.key.study != made.key.study
        assert not set(other.key.trials) & set(made.key.trials)


def test_pairs_in_one_file(versions: Any, tmp_path: Path, folders: Path) -> None:
    made = make_study(versions, tmp_path / "study", design="pairs", ties=True, single_file=True, size_px=40, practice=2)
    assert [path.name for path in made.page.parent.iterdir()] == ["index.html"]
    counted = made.key.counted.values()
    assert len({(t.content, *t.methods) for t in counted}) == len(counted) == 5 * 3
    assert sum(trial.practice for trial in made.key.trials.values()) == 2
    settings = settings_of(made.page)
    for trial in settings["trials"]:
        known = made.key.trials[trial["id"]]
        content = made.key.contents[known.content]
        for method, file in zip(known.methods, trial["files"], strict=True):
            whole = read_pixels(folders / ("sharp" if method == REFERENCE else method) / f"{content.name}.png")
            crop = whole[content.top : content.top + 40, content.left : content.left + 40]
            with Image.open(BytesIO(base64.b64decode(settings["embedded"][file]))) as picture:
                np.testing.assert_array_equal(np.asarray(picture), crop)


def test_sixteen_bits_and_other_endings_find_their_partners(tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.Philox(9))
    for index in range(3):
        picture = rng.uniform(0, 1, (3, 40, 50))
        bs.write_picture(tmp_path / f"a/{index}.png", picture, bit_depth=16)
        bs.write_picture(tmp_path / f"b/{index}.tif", picture * 0.5)
    bs.write_picture(tmp_path / "b/alone.tif", picture)
    made = make_study(of_folders({"a": tmp_path / "a", "b": tmp_path / "b"}, None), tmp_path / "s", practice=0)
    assert not made.key.has_reference
    assert made.key.size_px == 40
    codes = [read_pixels(path) for path in sorted((made.page.parent / "pictures").iterdir())]
    assert len(codes) == 6
    assert max(code.max() for code in codes) == 255


def test_the_crop_is_where_versions_differ_most() -> None:
    first = np.full((50, 70, 3), 100, np.uint8)
    second = first.copy()
    second[30:34, 55:61] = 160
    top, left = most_different([first, second], 6)
    assert (top, left) in {(row, 55) for row in range(28, 31)}


class TestCrops:
    def make(self, versions: Any, tmp_path: Path, text: str) -> MadeStudy:
        (tmp_path / "crops.csv").write_text(text)
        return make_study(
            versions, tmp_path / "study", size_px=32, practice=0, crops=tmp_path / "crops.csv", single_file=True
        )

    def test_are_where_they_are_wanted(self, versions: Any, tmp_path: Path) -> None:
        made = self.make(versions, tmp_path, "name,left,top\n<img src=x>&2,40,70\n")
        windows = {content.name: (content.left, content.top) for content in made.key.contents}
        assert windows["<img src=x>&2"] == (40, 70)
        assert windows["<img src=x>&3"] != (40, 70)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,left,top\n<img src=x>&2,140,70\n", "line 2: a crop of 32 px at 140,70 is not inside 160x120 px"),
            ("name,left,top\n<img src=x>&2,-1,70\n", "is not inside"),
            ("name,left,top\nnone,4,7\n", "line 2: no picture 'none' is shown"),
            ("a,b\n1,2\n", "line 2: must be name,left,top"),
            ("name,left,top\n<img src=x>&2,x,7\n", "line 2: must be name,left,top"),
        ],
    )
    def test_wrong_ones(self, versions: Any, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(InvalidValueError, match=re.escape(message)):
            self.make(versions, tmp_path, text)
        assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"items": 2}, InvalidValueError, "items must be >= 3, got 2"),
        ({"items": 6}, InvalidValueError, "6 pictures and one for practice are needed, got 6"),
        ({"size_px": 130}, PictureError, "has 160x120 px, but crops of 130 px"),
        ({"size_px": 8}, InvalidValueError, "size_px must be 16 to 4096, got 8"),
        ({"repeats": 6}, InvalidValueError, "repeats must be 0 to 5, got 6"),
        ({"practice": -1}, InvalidValueError, "practice must be >= 0"),
        ({"session_minutes": 31.0}, InvalidValueError, "session_minutes must be > 0 and <= 30"),
        ({"design": "both"}, InvalidValueError, "design must be single or pairs, got both"),
        ({"ties": True}, InvalidValueError, "ties is for pairs"),
        ({"flicker": True}, InvalidValueError, "flicker is for pairs"),
        ({"consent": "none.txt"}, DatasetError, "none.txt: cannot be read as text"),
    ],
)
def test_is_refused_before_anything_is_written(
    versions: Any, tmp_path: Path, changes: dict[str, Any], error: type[BlursynthError], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make_study(versions, tmp_path / "study", **changes)
    assert not (tmp_path / "study").exists()


def test_folders_that_do_not_fit(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="at least two versions of a picture, got 1"):
        make_study(of_folders({"ours": folders / "ours"}, None), tmp_path / "study")
    with pytest.raises(InvalidValueError, match="A method is named 'reference', like the sharp pictures"):
        of_folders({REFERENCE: folders / "ours"}, folders / "sharp")
    with pytest.raises(InvalidValueError, match="is no name for a method"):
        make_study(of_folders({"a\x1b[2J": folders / "ours", "b": folders / "blurred"}, None), tmp_path / "study")
    with pytest.raises(DatasetError, match=r"theirs: .* does not exist"):
        of_folders({"theirs": tmp_path / "theirs"}, None)
    bs.write_picture(tmp_path / "other/x.png", np.zeros((3, 20, 20)))
    with pytest.raises(DatasetError, match=r"No picture is in all of the 2 folders \(pictures: ours 6, other 1\)"):
        of_folders({"ours": folders / "ours", "other": tmp_path / "other"}, None)
    for path in (folders / "ours").iterdir():
        bs.write_picture(tmp_path / "small" / path.name, np.zeros((3, 60, 80)))
    with pytest.raises(PictureError, match=r"versions differ in size .*ours 160x120, small 80x60"):
        make_study(of_folders({"ours": folders / "ours", "small": tmp_path / "small"}, None), tmp_path / "study")
    same = of_folders({"a": folders / "ours", "b": folders / "ours"}, None)
    with pytest.raises(InvalidValueError, match="all versions are equal"):
        make_study(same, tmp_path / "study")
    assert not (tmp_path / "study").exists()
    (tmp_path / "full/x").mkdir(parents=True)
    with pytest.raises(DatasetError, match="exists and is not an empty folder"):
        make_study(of_folders({"a": folders / "ours", "b": folders / "blurred"}, None), tmp_path / "full")


class TestCommand:
    def test_folders(self, folders: Path, tmp_path: Path) -> None:
        done = run("make", folders / "blurred", f"mine={folders / 'ours'}", "--sharp", folders / "sharp", "--out",
                   tmp_path / "study", "--size", 24, "--items", 4, "--repeats", 2)  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "3 versions (reference, blurred, mine) of 4 pictures, crops of 24 px" in done.stdout
        assert "each rater: 17 trials, 2 of them repeated" in done.stdout
        assert f"for you alone: {tmp_path / 'study/study-key.json'}" in done.stdout

    def test_a_report_of_evaluate(self, folders: Path, tmp_path: Path) -> None:
        """Its folders as evaluate writes them; one that leads elsewhere is refused."""
        shown = []
        for index, path in enumerate(sorted((folders / "sharp").iterdir())):
            inside = f"pictures/{index:06d}"
            for method, stem in (("sharp", "sharp"), ("blurred", "blurred"), ("ours", "restored-my-net")):
                (tmp_path / "report" / inside).mkdir(parents=True, exist_ok=True)
                (tmp_path / f"report/{inside}/{stem}.png").write_bytes((folders / method / path.name).read_bytes())
            shown.append({"index": index, "name": path.stem, "folder": inside, "shown": ["no restoration", "My net"]})
        (tmp_path / "report/results").mkdir()
        summary = tmp_path / "report/summary.json"
        summary.write_text(json.dumps({"pictures": shown, "data": {"sharp": True}}))
        done = run("make", tmp_path / "report", "--out", tmp_path / "study", "--design", "pairs", "--size", 24)
        assert done.exit_code == 0, done.output
        assert "3 versions (blurred, My net, reference) of 5 pictures" in done.stdout
        shown[0]["folder"] = "../../elsewhere"
        summary.write_text(json.dumps({"pictures": shown, "data": {"sharp": True}}))
        refused = run("make", tmp_path / "report", "--out", tmp_path / "other")
        assert refused.exit_code == 2
        assert "'../../elsewhere' is no folder of pictures" in refused.output

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--session", "40"], "Error: --session must be > 0 and <= 30, got 40.0."),
            (["--size", "8"], "Error: --size must be 16 to 4096, got 8."),
            (["--ties"], "Error: --ties is for pairs, but single pictures are shown."),
        ],
    )
    def test_errors_name_options(self, folders: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
        done = run("make", folders / "blurred", folders / "ours", "--out", tmp_path / "study", *arguments)
        assert done.exit_code == 2
        assert message in done.output

    def test_without_a_command_there_is_help(self) -> None:
        done = run()
        assert done.exit_code == 2
        assert "make" in done.output
        assert "results" in done.output
