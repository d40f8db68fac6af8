"""Detection in a report: figures worked out by hand, groups, going on after a stop, labels, detectors of one's own."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from typer.testing import CliRunner

import blursynth as bs
from blursynth.core import Draw
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.io.pictures import read_pixels
from deblur_models.cli import app as cli
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet
from deblur_models.evaluate import DetectionTask, evaluate, write_report
from deblur_models.evaluate.detection import CocoLabels, Objects, Yolox
from deblur_models.metrics import metric

PSNR = (metric("psnr"),)
MOTION = Draw((("shake", bs.kinds.LinearMotion(length_px=12.0, angle_deg=30.0)),))
SOFT = Draw((("lens", bs.kinds.GaussianBlur(sigma_px=0.8)),))

# (cell of 8 px, channel, code): what each picture shows; red is 0, blue 2. Code 255 has the score 1, 102 .4.
SHARP = (
    [((0, 1), 0, 255), ((2, 3), 2, 255)],
    [((3, 0), 2, 204)],
    [((1, 1), 0, 255), ((1, 2), 0, 102)],  # the second is below the score of .5
    [],
)
BLURRED = (
    [((0, 1), 0, 255), ((2, 3), 2, 102)],  # blue is lost
    [((3, 0), 2, 102)],  # lost
    [((1, 1), 0, 230), ((1, 2), 0, 153)],  # and one that sharp does not show
    [],
)


def shown(cells: list[Any]) -> NDArray[np.uint8]:
    codes = np.zeros((32, 32, 3), np.uint8)
    for (row, column), channel, code in cells:
        codes[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, channel] = code
    return codes


class Made(PairSet):
    name = "made"

    def __len__(self) -> int:
        return len(SHARP)

    def size_px(self, index: int) -> tuple[int, int]:
        return 32, 32

    def read(self, index: int) -> PairSample:
        draw = MOTION if index < 2 else SOFT
        return PairSample(f"{index:03d}", shown(SHARP[index]), shown(BLURRED[index]), f"{index}.png", draw)


class Answers:
    """Gives the sharp pictures; those of ``missing`` stay blurred."""

    needs_kernel = False

    def __init__(self, name: str, missing: tuple[int, ...] = ()) -> None:
        self.name, self.missing, self.calls = name, missing, 0

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        self.calls += 1
        codes = [torch.from_numpy(shown(cells)).movedim(-1, 0)[None] / 255 for cells in BLURRED]
        index = next(i for i, one in enumerate(codes) if torch.allclose(one, blurred, atol=1e-3))
        answer = BLURRED[index] if index in self.missing else SHARP[index]
        return torch.from_numpy(shown(answer)).movedim(-1, 0)[None] / 255


@pytest.fixture(scope="module")
def task(detector: Yolox) -> DetectionTask:
    """Cells of 16 and 32 px have a quarter of the score or less, which is not asked for."""
    return DetectionTask(detector.replace(min_score=0.3))


def test_figures_of_the_pencil(task: DetectionTask, tmp_path: Path) -> None:
    some = Answers("some", missing=(0,))
    found = evaluate(
        Made(), [Answers("all"), some], tmp_path, metrics=PSNR, harm=0, pictures=0, cost_px=None, detection=task
    )
    detection = found.summary["detection"]
    assert detection["objects"] == 4
    assert [(one["class"], one["objects"]) for one in detection["classes"]] == [("red", 2), ("blue", 2)]
    overall = detection["overall"]
    before = overall["no restoration"]
    assert [before[k] for k in ("true_positives", "false_positives", "objects")] == [2, 1, 4]
    assert (before["precision"], before["recall"], before["f1"]) == (2 / 3, 2 / 4, 4 / 7)
    # Red: 1 and .9 right, .6 wrong. Blue: both right, at .4, which no threshold of score forbids.
    assert (before["map_50"], before["map"]) == (1.0, 1.0)
    assert [one["restorers"]["no restoration"] for one in detection["classes"]] == [{"ap_50": 1.0, "ap": 1.0}] * 2
    assert (overall["all"]["precision"], overall["all"]["recall"]) == (1.0, 1.0)
    assert overall["all"]["gain_f1"]["mean"] == pytest.approx(3 / 7)
    assert overall["some"]["f1"] == 6 / 7
    assert overall["some"]["gain_f1"]["mean"] == pytest.approx(2 / 7)
    assert 0 <= overall["some"]["gain_f1"]["low"] < 2 / 7 < overall["some"]["gain_f1"]["high"] <= 1
    assert "gain_f1" not in before
    by_severity = detection["groups"]["severity"]
    assert [(g["group"], g["pictures"], g["objects"]) for g in by_severity] == [
        ("1 to 2 px", 2, 1),
        ("2 to 4 px", 2, 3),
    ]
    motion = next(g for g in detection["groups"]["kind"] if g["group"] == "linear motion")
    assert (motion["pictures"], motion["objects"]) == (2, 3)
    assert motion["restorers"]["no restoration"]["f1"] == 2 / 4
    assert motion["restorers"]["some"]["f1"] == 4 / 5
    # A quarter of the resampled pairs of pictures holds the first one twice, where nothing changes, and a quarter the
    # second one, where F1 rises from 0 to 1.
    gain = motion["restorers"]["some"]["gain_f1"]
    assert (gain["low"], gain["mean"], gain["high"]) == pytest.approx((0.0, 4 / 5 - 2 / 4, 1.0))
    soft = next(g for g in detection["groups"]["kind"] if g["group"] == "gaussian blur")
    assert soft["restorers"]["no restoration"]["f1"] == 2 / 3
    assert soft["restorers"]["all"]["gain_f1"]["mean"] == pytest.approx(1 / 3)


def test_going_on_after_a_stop(task: DetectionTask, tmp_path: Path) -> None:
    """Lines hold what was found, so that a resumed run ends in the same summary, and nothing is mixed."""

    def measured(folder: str, number: int | None, **options: Any) -> dict[str, Any]:
        restorer = Answers("some", missing=(0,))
        found = evaluate(
            Made(), [restorer], tmp_path / folder, metrics=PSNR, harm=0, pictures=0, cost_px=None, **options
        )
        assert number is None or restorer.calls == number
        summary: dict[str, Any] = found.summary["detection"]
        return summary

    whole = measured("whole", 4, detection=task)
    measured("part", 4, detection=task)
    results = tmp_path / "part" / "results" / "some.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-1]) + lines[-1][:20])  # stopped while it wrote
    assert measured("part", 1, detection=task) == whole
    assert json.loads((tmp_path / "part" / "summary.json").read_text())["detection"] == json.loads(json.dumps(whole))
    for other in (None, replace(task, min_score=0.4), DetectionTask(task.detector)):
        if other != task:
            with pytest.raises(DatasetError, match="holds a report with other detectors"):
                measured("part", None, detection=other)
    good = results.read_text()
    for damage in ("[[1, ", '[["", ', "[[9, 1, 0, 1, 1, 1, 1], ["):
        results.write_text(good.replace('"objects": [[', f'"objects": {damage}', 1))
        assert results.read_text() != good
        with pytest.raises(DatasetError, match="The stored detections are damaged"):
            measured("part", None, detection=task)


def test_pictures_that_a_restorer_skips(task: DetectionTask, tmp_path: Path) -> None:
    """Its gain is that over the same pictures."""

    class NeedsKernel(Answers):
        needs_kernel = True

    found = evaluate(
        Made(), [NeedsKernel("known")], tmp_path, metrics=PSNR, harm=0, pictures=0, cost_px=None, detection=task,
        kernels=lambda sample: np.ones((1, 1)) if sample.name != "001" else None,
    )  # fmt: skip
    line = found.summary["detection"]["overall"]["known"]
    assert (line["pictures"], line["objects"], line["f1"]) == (3, 3, 1.0)
    # Without picture 1: of three objects two are found, and one that is none.
    assert line["gain_f1"]["mean"] == pytest.approx(1 - 2 * 2 / (3 + 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, cells in (("sharp", SHARP), ("blurred", BLURRED)):
        for number, one in enumerate(cells):
            frame = bs.Frame(shown(one).transpose(2, 0, 1)[None].astype(np.float32) / 255, bs.Encoding.DISPLAY)
            bs.write_picture(tmp_path / name / f"{number}.png", frame)
    assert (read_pixels(tmp_path / "sharp" / "0.png") == shown(SHARP[0])).all()
    box = {"category_id": 1, "bbox": [8, 0, 8, 8]}
    labels = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 32, "height": 32} for n in range(4)],
        "categories": [{"id": 1, "name": "red"}],
        "annotations": [{"image_id": 0, **box}, {"image_id": 3, **box}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="deblur")
    return result.exit_code, re.sub(r"\s+", " ", result.output)


def command(folder: Path, *more: object) -> tuple[object, ...]:
    return ("evaluate", folder / "blurred", "--sharp", folder / "sharp", "--out", folder / "report", "--metrics",
            "psnr", "--method", "wiener", "--kernels", folder / "kernels", "--cost-size", 0, *more)  # fmt: skip


def test_the_command_with_labels(detector: Yolox, folder: Path) -> None:
    """Labels name one red object that is there, and one that nobody finds; blue has no labels and does not count."""
    for number in range(4):
        (folder / "kernels").mkdir(exist_ok=True)
        np.save(folder / "kernels" / f"{number}.npy", np.eye(1))  # no blur: what is given comes back
    option = f"yolox:model={detector.model},classes={detector.classes},min_score=0.3"
    code, out = run(*command(folder, "--detector", option, "--labels", folder / "labels.json"))
    assert code == 0, out
    assert "Detection in %, compared with the labels: 2 objects in 4 pictures" in out
    # Red objects with a score of .5 or more: 1 of 1, and in picture 2 two (blurred) or one (sharp).
    assert re.search(r"no restoration 33\.3 50\.0 40\.0 – – 50\.5 50\.5 – –", out), out
    assert re.search(r"wiener 33\.3 50\.0 40\.0 0\.00 ", out)
    assert re.search(r"sharp pictures 50\.0 50\.0 50\.0 \+10\.00 ", out)
    page = (folder / "report" / "index.html").read_text()
    assert "Detected objects" in page
    assert "the labels in labels.json" in page
    code, out = run(*command(folder, "--detector", option))
    assert "holds a report with other detectors" in out


def test_a_detector_of_ones_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "brightest.py").write_text(
        "import numpy as np\n"
        "from deblur_models.evaluate.detection import Detector, Objects\n"
        "class Brightest(Detector):\n"
        "    side_px: int = 4\n"
        "    @property\n"
        "    def class_names(self):\n"
        "        return ('bright',)\n"
        "    def detect(self, picture):\n"
        "        row, column = np.unravel_index(picture.max(axis=-1).argmax(), picture.shape[:2])\n"
        "        return Objects.of([[column, row, self.side_px, self.side_px]], [0], [picture.max() / 255])\n"
        "class Nothing:\n"
        "    pass\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "brightest", raising=False)
    for number in range(4):
        (folder / "kernels").mkdir(exist_ok=True)
        np.save(folder / "kernels" / f"{number}.npy", np.eye(1))
    code, out = run(*command(folder, "--detector", "brightest:Brightest:side_px=6"))
    assert code == 0, out
    assert "score 0.5 or more): 3 objects in 4 pictures" in out, "nothing is bright in the last"
    summary = json.loads((folder / "report" / "summary.json").read_text())["detection"]
    assert summary["about"]["detector"] == {"kind": "brightest", "side_px": 6, "sha256": {}}
    for text, words in {
        "brightest:Nothing": "is no detector",
        "brightest:Missing": "brightest has no 'Missing'",
        "brightest:Brightest:side=6": "Brightest has no field 'side'",
        "nowhere:Class": "There is no module 'nowhere'",
        "yolox:model=none.onnx": "there is no such file",
        "none.onnx": "there is no such file",
        "yolo": "There is no detector 'yolo'",
    }.items():
        code, out = run(*command(folder, "--detector", text))
        assert code == 2, text
        assert words in out, out
    code, out = run(*command(folder, "--labels", "labels.json"))
    assert "--labels requires --detector" in out


def test_what_has_no_truth(task: DetectionTask, folder: Path) -> None:
    pictures = [folder / "blurred" / f"{n}.png" for n in range(4)]
    alone = FolderPairs(pictures, None, [str(n) for n in range(4)], "alone")
    niqe_free = (metric("niqe"),)
    with pytest.raises(InvalidValueError, match="Without sharp pictures there is nothing that detections"):
        evaluate(alone, [], folder / "report", metrics=niqe_free, detection=task)
    short = json.loads((folder / "labels.json").read_text())
    short["images"] = short["images"][:2]
    (folder / "short.json").write_text(json.dumps(short))
    labels = CocoLabels(folder / "short.json", task.detector.class_names)
    with pytest.raises(DatasetError, match=r"2 of 4 pictures are not listed once; the first is '2.png'"):
        evaluate(alone, [], folder / "report", metrics=niqe_free, detection=replace(task, labels=labels))
    assert not (folder / "report").exists(), "refused before work starts"
    with pytest.raises(InvalidValueError, match=r"min_score must be > 0 and < 1, got 1\.0"):
        replace(task, min_score=1.0)


def test_many_objects(task: DetectionTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The best hundred of a picture count, and large sets are resampled in parts."""
    scores = np.linspace(0.05, 0.95, 150)
    many = Objects.of(np.tile([1.0, 2.0, 3.0, 4.0], (150, 1)), np.zeros(150), scores)
    with monkeypatch.context() as changed:
        changed.setattr(Yolox, "detect", lambda self, picture: many)
        rows = task.found(torch.zeros(1, 3, 32, 32))
    assert [row[1] for row in rows] == pytest.approx(np.sort(scores)[:49:-1], abs=1e-6)
    found = []
    for largest in (4_000_000, 700):
        monkeypatch.setattr("deblur_models.evaluate.detection.task._LARGEST_TABLE", largest)
        made = evaluate(
            Made(), [Answers("some", missing=(0,))], tmp_path / str(largest), metrics=PSNR, harm=0, pictures=0,
            cost_px=None, detection=task,
        )  # fmt: skip
        found.append(made.summary["detection"])
    assert found[0] == found[1]


def test_the_page(task: DetectionTask, tmp_path: Path) -> None:
    found = evaluate(
        Made(), [Answers("all <b>")], tmp_path, metrics=PSNR, harm=0, pictures=0, cost_px=None, detection=task
    )
    page = write_report(found).read_text()
    assert "4 objects in 4 pictures" in page
    assert "all &lt;b&gt;" in page
    assert "<b>" not in page
    assert "+42.86" in page  # 3 / 7
    assert "AP by class" in page
    assert "which is no ground truth" in page
