"""From the files of raters to results: hostile files, raters whose truth is known, and the command."""

from __future__ import annotations

import copy
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rater_files import rater_file, write
from scipy import stats
from typer.testing import CliRunner, Result

from blursynth.errors import DatasetError, InvalidValueError
from deblur_models.cli import app as cli
from deblur_models.study import REFERENCE, MadeStudy, make_study, read_key, read_rater, read_raters, summarize
from deblur_models.study.answers import Rater, answer_files

METHODS = (REFERENCE, "blurred", "ours")
TRUTH = {REFERENCE: 4.4, "blurred": 1.8, "ours": 3.3}


@pytest.fixture(scope="module")
def single(versions: Any, tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    return make_study(versions, tmp_path_factory.mktemp("single") / "s", size_px=24, practice=2, single_file=True)


@pytest.fixture(scope="module")
def pairs(versions: Any, tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    return make_study(
        versions, tmp_path_factory.mktemp("pairs") / "s", size_px=24, design="pairs", ties=True, single_file=True
    )


def grader(seed: int, bias: float = 0.0, noise: float = 0.7) -> Any:
    rng = np.random.Generator(np.random.Philox(seed))
    return lambda methods, content: int(np.clip(np.rint(TRUTH[methods[0]] + bias + rng.normal(0, noise)), 1, 5))


def raters_of(made: MadeStudy, files: list[dict[str, Any]]) -> list[Rater]:
    return [Rater(**{**content, "study": made.key.study}) for content in files]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["study", "results", *(str(a) for a in arguments)], prog_name="deblur")


class TestSingle:
    @staticmethod
    def scores(made: MadeStudy, files: list[dict[str, Any]]) -> Any:
        """``[R, C, M]``, by another way than that of the library."""
        table = np.full((len(files), len(made.key.contents), 3), np.nan)
        for row, content in zip(table, files, strict=True):
            for one in content["answers"]:
                trial = made.key.trials[one["trial"]]
                if one["part"] == "test":
                    row[trial.content, METHODS.index(trial.methods[0])] = one["answer"]
        return table[:, ~np.isnan(table).all(axis=(0, 2))]

    def test_scores_are_means_over_raters(self, single: MadeStudy) -> None:
        files = [rater_file(single.key, seed, grader(seed, bias=0.2 * (seed - 4))) for seed in range(9)]
        found = summarize(single.key, raters_of(single, files), screening=False)
        scores = self.scores(single, files)
        of_raters = scores.mean(axis=1)
        change = (scores - scores[:, :, :1] + 5).mean(axis=1)
        for m, method in enumerate(METHODS):
            line = found["scores"][method]
            assert line["mos"] == pytest.approx(of_raters[:, m].mean())
            half = stats.t.ppf(0.975, 8) * stats.sem(of_raters[:, m])
            assert line["half_width"] == pytest.approx(half)
            assert sum(line["grades"]) == 9 * 5
            assert line["model"] == pytest.approx(TRUTH[method], abs=0.4)
        assert found["scores"]["ours"]["dmos"] == pytest.approx(change[:, 2].mean())
        assert found["scores"]["ours"]["dmos_half_width"] == pytest.approx(
            stats.t.ppf(0.975, 8) * stats.sem(change[:, 2])
        )
        assert found["scores"][REFERENCE]["dmos"] is None
        difference = next(row for row in found["differences"] if row["first"] == "blurred")
        assert difference["difference"] == pytest.approx((of_raters[:, 1] - of_raters[:, 2]).mean())
        assert difference["significant"]
        assert difference["pictures_second"] == 5
        plain = stats.ttest_rel(of_raters[:, 1], of_raters[:, 2]).pvalue
        assert plain <= difference["p"] <= 3 * plain
        picture = found["pictures"][2]["scores"]["ours"]
        assert picture["mos"] == pytest.approx(scores[:, 2, 2].mean())

    def test_repeats_and_bias(self, single: MadeStudy) -> None:
        strict = rater_file(single.key, 1, grader(1, bias=-1.0, noise=0.2))
        kind = rater_file(single.key, 2, grader(2, bias=0.5, noise=0.2))
        for one in strict["answers"]:
            if one["part"] == "repeat":
                one["answer"] = 1
        found = summarize(single.key, raters_of(single, [strict, kind]))
        assert found["raters"][0]["bias"] < 0 < found["raters"][1]["bias"]
        tests = {a["trial"]: a["answer"] for a in strict["answers"] if a["part"] == "test"}
        again = [tests[a["trial"]] - 1 for a in strict["answers"] if a["part"] == "repeat"]
        assert found["raters"][0]["same"] == sum(d == 0 for d in again) < found["raters"][0]["repeats"] == 2
        assert "BT.500 asks for at least 15 raters; these are 2." in found["notes"]

    def test_one_rater_has_no_intervals(self, single: MadeStudy) -> None:
        found = summarize(single.key, raters_of(single, [rater_file(single.key, 1, grader(1))]))
        assert found["scores"]["ours"]["half_width"] is None
        assert found["scores"]["ours"]["model"] is None
        assert found["reliability"]["alpha"] is None
        assert [row["needed"] for row in found["differences"]] == [None] * 3

    def test_smaller_differences_need_more_raters(self, single: MadeStudy) -> None:
        raters = raters_of(single, [rater_file(single.key, seed, grader(seed, noise=1.0)) for seed in range(8)])
        few, many = (summarize(single.key, raters, difference=d)["differences"][0]["needed"] for d in (1.0, 0.1))
        assert 2 <= few < many

    def test_doubts_are_named(self, single: MadeStudy) -> None:
        hasty = rater_file(single.key, 7, lambda *_: 3, participant="R7")
        hasty["conditions"]["color_vision"] = "deficient"
        for one in hasty["answers"]:
            one["ms"] = 900
        raters = raters_of(single, [rater_file(single.key, 1, grader(1)), hasty])
        notes = "\n".join(summarize(single.key, raters)["notes"])
        assert "1 of 2 raters took less than 1.5 s for most trials: R7." in notes
        assert "one and the same answer to all trials: R7." in notes
        assert "color vision is deficient: R7." in notes

    @pytest.mark.parametrize("difference", [0.0, -1.0, 4.1, math.nan])
    def test_impossible_differences(self, single: MadeStudy, difference: float) -> None:
        raters = raters_of(single, [rater_file(single.key, 1, grader(1))])
        with pytest.raises(InvalidValueError, match="difference must be > 0 and <= 4"):
            summarize(single.key, raters, difference=difference)


class TestPairs:
    @staticmethod
    def chooser(seed: int) -> Any:
        """Prefers by Bradley-Terry scores 1.5, -1.5, 0."""
        rng = np.random.Generator(np.random.Philox(seed))
        score = dict(zip(METHODS, (1.5, -1.5, 0.0), strict=True))

        def choose(methods: tuple[str, ...], content: int) -> str:
            first, second = methods
            if rng.uniform() < 0.1:
                return "tie"
            return "a" if rng.uniform() < 1 / (1 + math.exp(score[second] - score[first])) else "b"

        return choose

    def test_scores_of_known_raters(self, pairs: MadeStudy) -> None:
        files = [rater_file(pairs.key, seed, self.chooser(seed)) for seed in range(40)]
        found = summarize(pairs.key, raters_of(pairs, files))
        score = {method: line["score"] for method, line in found["scores"].items()}
        assert score[REFERENCE] > score["ours"] > score["blurred"]
        for method, truth in zip(METHODS, (1.5, -1.5, 0.0), strict=True):
            assert score[method] == pytest.approx(0.8 * truth, abs=0.15), "ties, half a win each, pull scores together"
        row = next(row for row in found["differences"] if (row["first"], row["second"]) == (REFERENCE, "blurred"))
        won = [{"a": 1.0, "tie": 0.5, "b": 0.0}[one["answer"]] for f in files for one in f["answers"]
               if one["part"] == "test" and pairs.key.trials[one["trial"]].methods == (REFERENCE, "blurred")]  # fmt: skip
        assert row["share"] == pytest.approx(np.mean(won))
        assert row["significant"]
        assert found["ties"] == pytest.approx(0.1, abs=0.04)
        renamed = [{**f, "answers": [{**a, "answer": {"a": "b", "b": "a", "tie": "tie"}[a["answer"]]}
                                     if int(a["trial"], 16) % 2 else a for a in f["answers"]]} for f in files]  # fmt: skip
        other = summarize(pairs.key, raters_of(pairs, renamed))["reliability"]["alpha"]
        assert other == pytest.approx(found["reliability"]["alpha"]), "which of two is called a means nothing"

    def test_a_method_that_never_lost_is_said_so(self, pairs: MadeStudy) -> None:
        def choose(methods: tuple[str, ...], content: int) -> str:
            return "a" if methods[0] == REFERENCE else "ab"[content % 2]

        found = summarize(pairs.key, raters_of(pairs, [rater_file(pairs.key, seed, choose) for seed in range(3)]))
        assert any("reference > blurred = ours" in note for note in found["notes"])
        line = found["scores"][REFERENCE]
        assert line["won"] == 1.0
        assert math.isfinite(line["score"])
        assert line["half_width"] > 0.5, "nothing says how much better it is"

    def test_habits_of_one_side_are_found(self, pairs: MadeStudy) -> None:
        files = [rater_file(pairs.key, seed, lambda *_: "a") for seed in range(2)]
        for content in files:
            for place, one in enumerate(content["answers"]):
                if place % 2:
                    one |= {"swapped": True, "answer": "b"}  # the first on the screen, again
        found = summarize(pairs.key, raters_of(pairs, files))
        assert found["first_preferred"] == 1.0
        assert any("first (left) picture was preferred in 100 % of trials" in note for note in found["notes"])


BAD = {
    "another study": (lambda c: c.update(study="0" * 16), "belongs to another study"),
    "an unknown trial": (lambda c: c["answers"][5].update(trial="f" * 12), "the study has no such trial"),
    "practice as a test": (lambda c: c["answers"][0].update(part="test"), "the study has no such trial"),
    "a grade that is none": (lambda c: c["answers"][5].update(answer=6), "answer"),
    "a grade as text": (lambda c: c["answers"][5].update(answer="5"), "answer"),
    "true as a grade": (lambda c: c["answers"][5].update(answer=True), "answer"),
    "NaN as a grade": (lambda c: c["answers"][5].update(answer=math.nan), "answer"),
    "an answer of the other design": (lambda c: c["answers"][5].update(answer="a"), "'a' is no answer to it"),
    "an answer twice": (lambda c: c["answers"].append(dict(c["answers"][5])), "answered twice"),
    "too many repeats": (
        lambda c: c["answers"].extend({**a, "part": "repeat"} for a in list(c["answers"][4:9])),
        "more trials are repeated|answered twice",
    ),
    "a repeat of nothing": (lambda c: c["answers"].insert(0, {**c["answers"][-1]}), "was not answered before"),
    "an unknown field": (lambda c: c.update(admin=1), "admin"),
    "a missing field": (lambda c: c.pop("conditions"), "conditions"),
    "a negative time": (lambda c: c["answers"][3].update(ms=-1), "ms"),
    "an infinite ratio": (lambda c: c["screens"][0].update(ratio=math.inf), "ratio"),
    "a long name": (lambda c: c.update(participant="x" * 41), "participant"),
    "many screens": (lambda c: c.update(screens=c["screens"] * 51), "screens"),
    "an impossible seed": (lambda c: c.update(seed=2**32), "seed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_files_that_the_page_cannot_write(single: MadeStudy, tmp_path: Path, name: str) -> None:
    change, message = BAD[name]
    content = copy.deepcopy(rater_file(single.key, 3, grader(3)))
    read_rater(write(tmp_path, content, "good.json"), single.key)
    change(content)  # type: ignore[no-untyped-call]
    with pytest.raises(DatasetError, match=message):
        read_rater(write(tmp_path, content), single.key)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"), (b"[1, 2]", "not a JSON object"), (b"\xff\xfe\x00", "not JSON"), (b'{"study": 3}', "no answers"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested too deeply"), (b"[" * 200_000, "nested too deeply|not JSON"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "not JSON|no answers"), (b'"' + b"x" * (5 << 20) + b'"', "has .* bytes|too large|more than"),
    ],
)  # fmt: skip
def test_files_that_are_none(single: MadeStudy, tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "bad.json").write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_rater(tmp_path / "bad.json", single.key)


def test_a_pipe_is_not_waited_for(single: MadeStudy, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DatasetError, match="pipe"):
        read_rater(tmp_path / "pipe.json", single.key)


class TestLeftOut:
    def read(self, made: MadeStudy, folder: Path, **options: Any) -> tuple[list[Rater], dict[str, str]]:
        raters, left_out = read_raters(answer_files([folder]), made.key, **options)
        return raters, {Path(name).name: why for name, why in left_out}

    def test_the_beginning_of_another_file(self, single: MadeStudy, tmp_path: Path) -> None:
        whole = rater_file(single.key, 5, grader(5))
        write(tmp_path, whole, "b.json")
        write(tmp_path, {**whole, "answers": whole["answers"][:8]}, "a.json")
        raters, left_out = self.read(single, tmp_path)
        assert [len(rater.answers) for rater in raters] == [len(whole["answers"])]
        assert left_out == {"a.json": f"is the beginning of {tmp_path / 'b.json'}"}

    def test_other_answers_with_the_same_seed(self, single: MadeStudy, tmp_path: Path) -> None:
        for name, seed in (("a.json", 5), ("b.json", 6)):
            write(tmp_path, {**rater_file(single.key, 5, grader(seed))}, name)
        raters, left_out = self.read(single, tmp_path)
        assert len(raters) == 1
        assert "has other answers than" in left_out["b.json"]

    def test_the_same_person_again(self, single: MadeStudy, tmp_path: Path) -> None:
        for seed in (5, 6):
            write(tmp_path, rater_file(single.key, seed, grader(seed), participant="P1"))
        raters, left_out = self.read(single, tmp_path)
        assert [rater.seed for rater in raters] == [5]
        assert "is another run of P1" in left_out["answers-6.json"]

    def test_the_unfinished(self, single: MadeStudy, tmp_path: Path) -> None:
        whole = rater_file(single.key, 5, grader(5))
        write(tmp_path, {**whole, "answers": whole["answers"][:12]})
        write(tmp_path, rater_file(single.key, 6, grader(6)))
        raters, left_out = self.read(single, tmp_path)
        assert [rater.seed for rater in raters] == [6]
        assert left_out == {"answers-5.json": "is unfinished: 10 of 15 answers"}
        raters, left_out = self.read(single, tmp_path, unfinished=True)
        assert len(raters) == 2
        assert not left_out
        found = summarize(single.key, raters)
        assert found["answers"] == 25
        assert sum(found["scores"]["ours"]["grades"]) < 10
        raters[0] = raters[0].replace(answers=raters[0].answers[:3])
        with pytest.raises(DatasetError, match="No rater who is counted has judged"):
            summarize(single.key, raters[:1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: k.update(study="x"), "study"),
        (lambda k: k["trials"][next(iter(k["trials"]))].update(content=99), "shows nothing that it lists"),
        (lambda k: k["trials"][next(iter(k["trials"]))].update(methods=["theirs"]), "shows nothing that it lists"),
        (lambda k: k["trials"][next(iter(k["trials"]))].update(methods=["ours", "blurred"]), "of another design"),
    ],
)
def test_damaged_keys(single: MadeStudy, tmp_path: Path, change: Any, message: str) -> None:
    value = json.loads(single.key_file.read_text())
    change(value)
    (tmp_path / "key.json").write_text(json.dumps(value))
    with pytest.raises(DatasetError, match=message):
        read_key(tmp_path / "key.json")


class TestCommand:
    def test_single(self, single: MadeStudy, tmp_path: Path) -> None:
        for seed in range(16):
            write(tmp_path / "answers", rater_file(single.key, seed, grader(seed)))
        done = run(tmp_path / "answers", "--key", single.key_file, "--out", tmp_path / "out", "--difference", "0.3")
        assert done.exit_code == 0, done.output
        assert "16 raters, 5 pictures, 240 answers" in done.stdout
        assert re.search(r"reference +4\.\d\d ± 0\.\d\d +– +4\.\d\d ± 0\.\d\d", done.stdout)
        assert "Raters needed: to find a difference of 0.3 grades." in done.stdout
        summary = json.loads((tmp_path / "out/summary.json").read_text())
        assert summary["scores"]["blurred"]["mos"] == pytest.approx(TRUTH["blurred"], abs=0.3)
        page = (tmp_path / "out/index.html").read_text("utf-8")
        assert "&lt;img src=x&gt;&amp;2" in page
        assert "<img src=x" not in page

    def test_pairs_with_bad_files_among_good_ones(self, pairs: MadeStudy, tmp_path: Path) -> None:
        for seed in range(4):
            write(tmp_path / "answers", rater_file(pairs.key, seed, TestPairs.chooser(seed), participant=f"<b>{seed}"))
        (tmp_path / "answers/bad.json").write_text("{")
        done = run(tmp_path / "answers", "--key", pairs.key_file, "--out", tmp_path / "out")
        assert done.exit_code == 1
        assert re.search(r"bad\.json +the file of answers is damaged: it is not JSON", done.stdout)
        page = (tmp_path / "out/index.html").read_text("utf-8")
        assert "&lt;b&gt;2" in page
        assert "<b>2" not in page
        assert "bad.json" in page

    def test_nothing_to_count(self, single: MadeStudy, pairs: MadeStudy, tmp_path: Path) -> None:
        write(tmp_path / "answers", rater_file(pairs.key, 1, TestPairs.chooser(1)))
        for words, message in (
            ([tmp_path / "answers"], "No file of answers can be counted"),
            ([tmp_path / "none"], "does not exist"),
            ([tmp_path / "answers", "--difference", "7"], "--difference must be > 0 and <= 4, got 7"),
        ):
            done = run(*words, "--key", single.key_file, "--out", tmp_path / "out")
            assert done.exit_code == 2
            assert message in done.output
        assert not (tmp_path / "out").exists()
