"""Figures of a report that can be worked out beforehand, groups by the recorded draws, and going on after a stop."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import blursynth as bs
from blursynth.core import Draw
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.physics.point_spread import measured
from deblur_models.classical import make_classical
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet
from deblur_models.evaluate import evaluate
from deblur_models.evaluate.store import describe_restorer
from deblur_models.metrics import metric
from deblur_models.networks import create_network
from deblur_models.restore.network_restorer import NetworkRestorer

SIDE = 48


class Made(PairSet):
    """Noise pictures with known differences: pair i is off by (i + 1) codes everywhere."""

    def __init__(self, draws: Sequence[Draw | None], name: str = "made", dtype: Any = np.uint8) -> None:
        self.draws, self.name, self.dtype = list(draws), name, dtype

    def __len__(self) -> int:
        return len(self.draws)

    def size_px(self, index: int) -> tuple[int, int]:
        return SIDE, SIDE

    def read(self, index: int) -> PairSample:
        rng = np.random.Generator(np.random.Philox(index))
        sharp = rng.integers(20, 200, (SIDE, SIDE, 3)).astype(self.dtype)
        return PairSample(f"{index:03d}", sharp, sharp + self.dtype(index + 1), f"source {index}", self.draws[index])


class Towards:
    """Goes a part of the way from the blurred picture to the sharp one, which is ``codes`` below."""

    needs_kernel = False

    def __init__(self, name: str = "towards", share: float = 1.0) -> None:
        self.name, self.share, self.calls = name, share, 0

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        self.calls += 1
        assert kernels is None
        return blurred - self.share / 255.0


class NeedsKernel:
    name = "classical"
    needs_kernel = True

    def __init__(self) -> None:
        self.kernels: list[NDArray[np.floating]] = []

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        assert kernels is not None
        self.kernels.append(kernels)
        return blurred


MOTION = Draw((("shake", bs.kinds.LinearMotion(length_px=12.0, angle_deg=30.0)), ("jpeg", bs.kinds.Jpeg(quality=80))))
SOFT = Draw((("lens", bs.kinds.GaussianBlur(sigma_px=0.8)), ("jpeg", bs.kinds.Jpeg(quality=80))))
SHARP = Draw((("shake", bs.kinds.Identity()), ("jpeg", bs.kinds.Jpeg(quality=80))))
ZOOM = Draw((("zoom", bs.kinds.Zoom(scale=1.03)),))
PSNR = (metric("psnr"),)


def test_figures_are_those_of_the_pencil(tmp_path: Path) -> None:
    pairs, towards = Made([None] * 10), Towards()
    found = evaluate(pairs, [towards], tmp_path, metrics=[*PSNR, metric("ssim")], harm=3, pictures=2, cost_px=None)
    # Pair i is off by i + 1 codes, and by i after restoration.
    before = [20 * math.log10(255 / (i + 1)) for i in range(10)]
    after = [math.inf, *(20 * math.log10(255 / i) for i in range(1, 10))]
    lines = found.values["towards"]
    # float32 pictures: codes are told apart to 1e-4 dB
    assert [lines[i]["values"]["psnr"] for i in range(1, 10)] == pytest.approx(after[1:], abs=1e-3)
    overall = found.summary["overall"]
    assert overall["no restoration"]["metrics"]["psnr"]["mean"] == pytest.approx(np.mean(before), abs=1e-3)
    assert overall["towards"]["metrics"]["psnr"] == {
        "mean": pytest.approx(np.mean(after[1:]), abs=1e-3), "pictures": 9, "infinite": 1,
    }  # fmt: skip
    gain = overall["towards"]["gain"]
    gains = np.array(after[1:]) - np.array(before[1:])
    assert gain["pictures"] == 9  # of an infinite PSNR there is no gain
    assert gain["mean"] == pytest.approx(gains.mean(), abs=1e-3)
    assert gains.min() < gain["low"] < gain["mean"] < gain["high"] < gains.max()
    assert gain["worse"] == 0.0
    harm = overall["towards"]["no_harm"]
    assert harm == {
        "mean": pytest.approx(20 * math.log10(255), abs=1e-3), "least": pytest.approx(48.13, abs=0.01), "pictures": 3,
        "above_40_db": 1.0,
    }  # fmt: skip
    assert "no_harm" not in overall["no restoration"]
    assert overall["towards"]["metrics"]["ssim"]["mean"] == pytest.approx(
        np.mean([float(metric("ssim")(tensor(pairs[i].blurred - 1), tensor(pairs[i].sharp))[0]) for i in range(10)]),
        abs=1e-6,
    )
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["overall"]["towards"]["gain"] == gain
    assert written["protocols"]["psnr"] == metric("psnr").protocol
    assert sorted(p.name for p in (tmp_path / "pictures").glob("*/*")) == sorted(
        2 * ["blurred.png", "restored-towards.png", "sharp.png"]
    )


def tensor(codes: NDArray[Any]) -> Tensor:
    return torch.from_numpy(codes).movedim(-1, 0)[None].double() / 255


class Equal(Made):
    """The blurred picture of pair 0 is its sharp one."""

    def read(self, index: int) -> PairSample:
        sample = super().read(index)
        return PairSample(sample.name, sample.sharp, sample.sharp if index == 0 else sample.blurred, draw=sample.draw)


def test_means_are_over_the_same_pictures_where_a_blurred_one_equals_its_sharp_one(tmp_path: Path) -> None:
    pairs = Equal([SHARP, MOTION, MOTION])
    found = evaluate(pairs, [Towards(share=-1.0)], tmp_path, metrics=PSNR, cost_px=None, pictures=0)
    overall = found.summary["overall"]
    before, after = (overall[n]["metrics"]["psnr"] for n in ("no restoration", "towards"))
    assert (before["pictures"], before["infinite"], after["pictures"]) == (2, 1, 2)
    assert after["mean"] - before["mean"] == pytest.approx(overall["towards"]["gain"]["mean"], abs=1e-9)
    (sharp,) = (g for g in found.summary["groups"]["kind"] if g["group"] == "no blur")
    means = {n: line["metrics"]["psnr"]["mean"] for n, line in sharp["restorers"].items()}
    assert means == {"no restoration": math.inf, "towards": pytest.approx(48.13, abs=0.01)}  # the harm is told
    assert "gain" not in sharp["restorers"]["towards"]


def test_restored_pictures_are_rounded_to_the_codes_of_the_set(tmp_path: Path) -> None:
    almost = Towards(share=1.3)
    for dtype, expected in ((np.uint8, math.inf), (np.uint16, None)):
        pairs = Made([None], dtype=dtype)
        found = evaluate(pairs, [almost], tmp_path / str(np.dtype(dtype)), metrics=PSNR, cost_px=None, pictures=0)
        value = found.values["towards"][0]["values"]["psnr"]
        assert value == expected if expected is not None else math.isfinite(value)


def test_values_beyond_white_are_cut_before_they_are_measured(tmp_path: Path) -> None:
    found = evaluate(Made([None]), [Towards(share=-1e6)], tmp_path, metrics=PSNR, cost_px=None, pictures=0)
    sharp = tensor(Made([None])[0].sharp)
    assert found.values["towards"][0]["values"]["psnr"] == pytest.approx(
        float(metric("psnr")(torch.ones_like(sharp), sharp)[0]), abs=1e-4
    )


def test_methods_get_the_kernel_of_the_draw_and_are_left_out_where_there_is_none(tmp_path: Path) -> None:
    method = NeedsKernel()
    found = evaluate(Made([MOTION, None, ZOOM, SOFT, SHARP]), [method], tmp_path, metrics=PSNR, harm=0, cost_px=None)
    assert [float(k.sum()) for k in method.kernels] == pytest.approx([1.0, 1.0, 1.0])
    assert [k.shape[0] for k in method.kernels] == [1, 1, 1]
    assert method.kernels[0].shape[-1] > method.kernels[1].shape[-1] > method.kernels[2].shape[-1] == 1
    line = found.summary["overall"]["classical"]
    assert line["pictures"] == 3
    # Its gain is held against the same three pictures, which it leaves as they are.
    assert line["gain"]["mean"] == 0.0
    assert line["gain"]["pictures"] == 3
    assert line["metrics"]["psnr"]["mean"] != found.summary["overall"]["no restoration"]["metrics"]["psnr"]["mean"]


def test_methods_that_need_a_kernel_are_refused_for_real_pairs_without_them(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="classical needs the kernel of each picture, but the blur"):
        evaluate(Made([None]), [NeedsKernel()], tmp_path / "out", metrics=PSNR)
    assert not (tmp_path / "out").exists()
    method, kernel = NeedsKernel(), np.full((3, 3), 1 / 9)
    evaluate(Made([None] * 2), [method], tmp_path, metrics=PSNR, kernels=lambda _: kernel, harm=0, cost_px=None)
    assert len(method.kernels) == 2
    assert (method.kernels[0] == kernel[None]).all()


def test_groups_by_severity_kind_and_quality(tmp_path: Path) -> None:
    draws = [MOTION, SOFT, SHARP, MOTION, SOFT, ZOOM, MOTION, SHARP]
    found = evaluate(Made(draws), [Towards()], tmp_path, metrics=PSNR, cost_px=None, harm=0, pictures=0)
    groups = {key: {g["group"]: g["pictures"] for g in rows} for key, rows in found.summary["groups"].items()}
    assert groups["severity"] == {"0 to 0.5 px": 2, "1 to 2 px": 2, "2 to 4 px": 3, "varies, unknown": 1}
    assert groups["kind"] == {"linear motion": 3, "gaussian blur": 2, "zoom": 1, "no blur": 2}
    assert list(groups["blurred_psnr"].values()) == [2, 2, 2, 2]
    worst = found.summary["groups"]["blurred_psnr"][0]["restorers"]["no restoration"]["metrics"]["psnr"]["mean"]
    assert worst == pytest.approx(np.mean([20 * math.log10(255 / k) for k in (7, 8)]), abs=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [line["kinds"] for line in lines[:3]] == [["linear_motion"], ["gaussian_blur"], []]
    assert lines[5] == {
        "index": 5, "name": "005", "source": "source 5", "severity_px": None, "varies": True, "known": True,
        "kinds": ["zoom"],
    }  # fmt: skip
    real = evaluate(Made([None] * 3), [Towards()], tmp_path / "real", metrics=PSNR, cost_px=None, pictures=0)
    assert real.summary["groups"] == {"severity": [], "kind": [], "blurred_psnr": []}


def test_kinds_that_are_in_the_same_pictures_are_one_group(tmp_path: Path) -> None:
    both = Draw((*MOTION.steps[:1], *SOFT.steps))
    found = evaluate(Made([both, SHARP, both]), [Towards()], tmp_path, metrics=PSNR, cost_px=None, harm=0, pictures=0)
    groups = {g["group"]: g["pictures"] for g in found.summary["groups"]["kind"]}
    assert groups == {"gaussian blur + linear motion": 2, "no blur": 1}


class Closed(Made):
    """Pairs that must not be read again."""

    def read(self, index: int) -> PairSample:
        raise AssertionError("read")


class Stopped(Towards):
    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        if self.calls == 4:
            raise KeyboardInterrupt
        return super().restore(blurred, kernels)


def test_it_resumes_where_it_was_stopped(tmp_path: Path) -> None:
    pairs = Made([MOTION] * 7)
    options: dict[str, Any] = {"metrics": PSNR, "harm": 0, "cost_px": None, "pictures": 3}
    with pytest.raises(KeyboardInterrupt):
        evaluate(pairs, [Stopped()], tmp_path / "a", **options)
    results = tmp_path / "a" / "results" / "towards.jsonl"
    with results.open("a") as file:
        file.write('{"index": 4, "na')  # killed in the middle of a line
    again = Towards()
    first = evaluate(pairs, [again], tmp_path / "a", **options)
    assert again.calls == 3
    whole = evaluate(pairs, [Towards()], tmp_path / "b", **options)

    def figures(summary: dict[str, Any]) -> Any:
        text = json.dumps(summary)
        return [p for p in json.loads(text)["overall"]["towards"].items() if p[0] != "seconds"]

    assert figures(first.summary) == figures(whole.summary)
    assert first.summary["pictures"] == whole.summary["pictures"]
    idle, closed = Towards(), Closed([MOTION] * 7)
    third = evaluate(closed, [idle], tmp_path / "a", **options)
    assert idle.calls == 0
    assert third.facts == first.facts
    assert third.summary == first.summary
    assert len(results.read_text().splitlines()) == 8
    more = Towards()
    evaluate(pairs, [more], tmp_path / "a", **{**options, "pictures": 7})
    assert more.calls == 4  # pictures that were not written before


def test_results_of_something_else_are_not_mixed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"metrics": PSNR, "cost_px": None, "pictures": 0}
    evaluate(Made([None] * 3), [network_restorer(0)], tmp_path, **options)
    for pairs, restorer, changes, words in (
        (Made([None] * 4), network_restorer(0), {}, "report with other data and numbers of pairs|other data"),
        (Made([None] * 3), network_restorer(1), {}, "another restorer with this name"),
        (Made([None] * 3), network_restorer(0), {"metrics": [*PSNR, metric("gmsd")]}, "other metrics"),
        (Made([None] * 3), network_restorer(0), {"harm": 1}, "pictures for no harm"),
        (Made([None] * 3), network_restorer(0), {"limit": 2}, "numbers of pairs"),
    ):
        with pytest.raises(DatasetError, match=words):
            evaluate(pairs, [restorer], tmp_path, **{**options, **changes})
    evaluate(Made([None] * 3), [network_restorer(0), Towards()], tmp_path, **options)  # one more is no other report
    found = evaluate(Made([None] * 4), [network_restorer(1)], tmp_path, **options, force=True)
    assert len(found.values["net"]) == 4
    assert not (tmp_path / "results" / "towards.jsonl").exists()


def network_restorer(seed: int) -> NetworkRestorer:
    torch.manual_seed(seed)
    return NetworkRestorer(create_network("nafnet", "tiny", width=4), name="net")


def test_networks_are_described_and_their_cost_is_counted(tmp_path: Path) -> None:
    restorer = network_restorer(0)
    found = evaluate(Made([None] * 2), [restorer], tmp_path, metrics=PSNR, cost_px=(32, 48), pictures=0)
    cost = found.summary["cost"]["net"]
    assert (cost["height"], cost["width"]) == (32, 48)
    assert cost["stored_weights"] == cost["used_weights"] == sum(p.numel() for p in restorer.network.parameters())
    assert cost["macs"] > 0
    assert cost["memory_bytes"] > 4 * cost["stored_weights"]
    assert cost["speed"]["pictures_per_second"] > 0
    about = found.summary["restorers"]["net"]
    assert about["network"] == restorer.network.config.to_dict()
    assert len(about["weights"]) == 64
    assert about["precision"] == "float32"


def test_the_padding_is_a_setting_of_the_results() -> None:
    network = create_network("nafnet", "tiny", width=4)
    ours, theirs = (describe_restorer(NetworkRestorer(network, padding=way)) for way in ("mirror", "published"))
    assert theirs == {**ours, "padding": "published"}, "results of the two are not mixed"


def test_a_tile_that_was_halved_for_lack_of_memory_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = network_restorer(0)
    monkeypatch.setattr(
        restorer, "restore", lambda blurred, kernels=None: (setattr(restorer, "tile_px", 64), blurred)[1]
    )
    found = evaluate(Made([None]), [restorer], tmp_path, metrics=PSNR, cost_px=None, pictures=0, harm=0)
    about = found.summary["restorers"]["net"]
    assert (about["tile_px"], about["tile_px_for_lack_of_memory"]) == (None, 64)


def test_a_restorer_that_gives_nan_stops_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"towards produces NaN or infinite values for picture '000'"):
        evaluate(Made([None]), [Towards(share=math.nan)], tmp_path, metrics=PSNR, cost_px=None)


def test_a_metric_that_a_picture_is_too_small_for_is_left_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "deblur_models"):
        found = evaluate(Made([None] * 2), [Towards()], tmp_path, metrics=[*PSNR, metric("ms_ssim")], cost_px=None)
    assert found.summary["overall"]["towards"]["metrics"]["ms_ssim"] == {"mean": None, "pictures": 0}
    assert len([r for r in caplog.records if "ms_ssim is not measured" in r.getMessage()]) == 1


def test_the_best_over_several_references_counts(tmp_path: Path) -> None:
    pairs = Made([None] * 2)

    def references(sample: PairSample) -> list[Tensor]:
        good, other = tensor(sample.sharp)[0], tensor(sample.sharp[::-1].copy())[0]
        return [other, good, other]

    found = evaluate(pairs, [Towards()], tmp_path, metrics=PSNR, references=references, cost_px=None, pictures=0)
    lines = found.values["towards"]
    # A restored picture is scaled before it is compared, so that its score is at least that of the same picture.
    assert lines[1]["values"]["psnr_trajectory"] > lines[1]["values"]["psnr"] - 0.5
    assert found.summary["better"]["psnr_trajectory"] == "higher"
    assert "Köhler" in found.summary["protocols"]["psnr_trajectory"]


def test_progress_and_limits(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    evaluate(
        Made([None] * 9), [Towards()], tmp_path, metrics=PSNR, limit=3, cost_px=None, pictures=0,
        on_picture=lambda *a: seen.append(a),
    )  # fmt: skip
    assert [s[:2] for s in seen] == [(i, 6) for i in range(7)]
    assert {s[2] for s in seen} == {
        f"{r}: {n}" for r in ("no restoration", "towards") for n in ("000", "004", "008")
    } | {""}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": [metric("ssim")]}, "include psnr"),
        ({"metrics": [*PSNR, *PSNR]}, "must be unique"),
        ({"limit": 0}, "limit must be >= 1"),
        ({"pictures": -1}, "pictures must be >= 0"),
        ({"harm": -1}, "harm must be >= 0"),
    ],
)
def test_bad_settings_are_reported_before_any_work(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=words):
        evaluate(Made([None]), [Towards()], tmp_path / "out", **{"metrics": PSNR, **changes})
    assert not (tmp_path / "out").exists()


def test_two_restorers_of_one_name_are_refused(tmp_path: Path) -> None:
    for names in (("a", "A!"), ("x", "no restoration")):
        with pytest.raises(InvalidValueError, match="Two restorers are named"):
            evaluate(Made([None]), [Towards(n) for n in names], tmp_path, metrics=PSNR)
    with pytest.raises(InvalidValueError, match="A restorer is named 'sharp'"):
        evaluate(Made([None]), [Towards("Sharp")], tmp_path, metrics=PSNR)


@pytest.mark.real_data
def test_true_kernels_restore_real_photographs_of_a_shaken_camera(real_data: Path, tmp_path: Path) -> None:
    """Levin's set: a method that knows the kernel must gain much, and only alignment shows all of it.

    The photographs are moved by up to some pixels against the sharp ones, since kernels were not centered.
    """
    folder = real_data / "blur"
    kernels = bs.read_arrays(folder / "kernels_kair" / "Levin09.mat")
    names = [f"im1_kernel{k}_img" for k in (1, 4, 5)]
    blurred = [folder / "levin09" / f"{name}.png" for name in names]
    pairs = FolderPairs(blurred, [folder / "levin09" / "gt" / "im1.png"] * 3, names, "levin09")
    # The file holds kernels for correlation.
    known = {name: measured(kernels[int(name[10]) - 1][::-1, ::-1]).to_dense() for name in names}
    metrics = [metric("psnr"), metric("aligned", of="psnr", max_shift_px=5)]
    method = make_classical({"kind": "total_variation", "linear_light": False})
    found = evaluate(
        pairs, [method], tmp_path, metrics=metrics, kernels=lambda s: known[s.name], harm=0, cost_px=None, pictures=0
    )
    line = found.summary["overall"]["total_variation"]
    assert line["gain_aligned"]["low"] > 6.0
    assert line["gain_aligned"]["mean"] > line["gain"]["mean"]
