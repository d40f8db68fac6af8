"""``deblur evaluate`` as a user runs it: data sets, folders, several sharp pictures, bad input, going on after a stop."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from typer.testing import CliRunner, Result

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures
from deblur_models.checkpoints.checkpoint import save_network
from deblur_models.cli import app as cli
from deblur_models.cli.evaluate import choose_metrics, parse_size
from deblur_models.data.pair_set import FolderPairs, open_pairs
from deblur_models.networks import create_network


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="deblur")


def passes(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.output), "control characters in a pipe"
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, a data set, a folder pair and a network that leaves pictures alone."""
    folder = tmp_path_factory.mktemp("place")
    for seed, name in enumerate("abcd"):
        frame = pictures(bs.Encoding.DISPLAY, batch=1, size_px=(96, 120), seed=seed)
        bs.write_picture(folder / "photos" / f"{name}.png", frame)
        soft = bs.kinds.Encode()(bs.kinds.LinearMotion(length_px=7.0, angle_deg=20.0 * seed)(bs.kinds.Decode()(frame)))
        bs.write_picture(folder / "blurred" / f"{name}.png", soft)
    recipe = bs.load_recipe("motion-only", changes={"shake.length_px": 8.0})
    generate(
        DatasetRequest(sources=[folder / "photos"], recipe=recipe, count=4, size_px=48, seed=2, shard_length=4),
        folder / "pairs",
        workers=1,
    )
    torch.manual_seed(0)
    network = create_network("nafnet", "tiny", width=4)
    torch.nn.init.zeros_(network.ending.weight)  # type: ignore[arg-type, union-attr]
    torch.nn.init.zeros_(network.ending.bias)  # type: ignore[arg-type, union-attr]
    save_network(network, folder / "same.safetensors")
    return folder


def test_a_pipeline_is_a_line_of_its_own(place: Path, tmp_path: Path) -> None:
    """After Wiener, a network that changes nothing gives what Wiener alone gives."""
    same = place / "same.safetensors"
    command = ("evaluate", place / "pairs", "--method", "wiener", "--pipeline", f"wiener+{same}", "--pipeline",
               f"{same}+wiener:balance=0.5", "--out", tmp_path / "r", "--cost-size", 0, "--metrics", "psnr")  # fmt: skip
    out = passes(*command)
    alone, before, after = (
        re.search(rf"{name} +4 +(\d+\.\d\d +\S+) ", out) for name in ("wiener", r"wiener \+ same", r"same \+ wiener")
    )
    assert alone, out
    assert before, out
    assert after, out
    assert before[1] == alone[1] != after[1]
    page = (tmp_path / "r" / "index.html").read_text()
    assert "wiener: linear_light True; same: network" in page.replace("then ", "")
    assert passes(*command) == out, "resumed"


def test_a_data_set_with_a_network_and_a_classical_method(place: Path, tmp_path: Path) -> None:
    command = ("evaluate", place / "pairs", "--network", place / "same.safetensors", "--method", "wiener", "--out",
               tmp_path / "report", "--pictures", 2, "--cost-size", "64x32")  # fmt: skip
    out = passes(*command)
    assert "4 pairs" in out
    assert re.search(r"no restoration +4 +\d+\.\d\d", out)
    assert re.search(r"same +4 +\d+\.\d\d +0\.00 .* 0 % +∞", out), out  # nothing gained, nothing harmed
    assert re.search(r"wiener +4 ", out)
    assert "severity of the blur" in out
    assert "kind of blur" in out
    assert "not measured: lpips" in out
    assert "not measured: ms_ssim" in out
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert summary["overall"]["same"]["gain"]["mean"] == 0.0
    assert summary["overall"]["same"]["no_harm"]["least"] == "inf"
    assert (summary["cost"]["same"]["width"], summary["cost"]["same"]["height"]) == (64, 32)
    assert (
        summary["overall"]["wiener"]["metrics"]["psnr"]["mean"] != summary["overall"]["same"]["metrics"]["psnr"]["mean"]
    )
    page = (tmp_path / "report/index.html").read_text()
    assert "wiener" in page
    assert page.count('<figure class="pair">') == 2
    assert passes(*command).splitlines()[:5] == out.splitlines()[:5]  # all is there already


def test_two_folders_with_alignment_in_tiles(place: Path, tmp_path: Path) -> None:
    out = passes(
        "evaluate", place / "blurred", "--sharp", place / "photos", "--network", f"ours={place / 'same.safetensors'}",
        "--out", tmp_path / "report", "--metrics", "ssim", "--align", 2, "--tile", 48, "--limit", 3, "--no-harm", 1,
        "--cost-size", 0, "--local-px", 32, "--ensemble", "--precision", "bf16",
    )  # fmt: skip
    assert re.search(r"ours +3 ", out)
    assert "PSNR aligned dB" in out
    assert "severity" not in out  # nothing is known of real blur
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert list(summary["better"]) == ["psnr", "ssim", "psnr_aligned", "ssim_aligned"]
    assert summary["cost"] == {}
    about = summary["restorers"]["ours"]
    assert (about["tile_px"], about["ensemble"], about["precision"]) == (48, True, "bfloat16")
    assert about["network"]["local_px"] == 32


def test_a_broken_picture_is_left_out_and_the_others_are_measured(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "blurred", tmp_path / "blurred")
    shutil.copytree(place / "photos", tmp_path / "sharp")
    (tmp_path / "blurred/a.png").write_bytes(b"no picture")
    cut = tmp_path / "sharp/c.png"
    cut.write_bytes(cut.read_bytes()[:600])
    command = ("evaluate", tmp_path / "blurred", "--sharp", tmp_path / "sharp", "--network", place / "same.safetensors",
               "--out", tmp_path / "report", "--cost-size", 0)  # fmt: skip
    for _ in range(2):  # the second time it goes on
        result = run(*command)
        assert result.exit_code == 1, result.output
        assert "Skipped: 2 pairs" in result.stdout
        assert re.search(r"same +2 ", result.stdout)
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert [pair["name"] for pair in summary["failed"]] == ["a", "c"]
    assert summary["data"] == {
        "name": "blurred",
        "pairs": 4,
        "measured": 2,
        "sharp": True,
        "not_looked_at": [],
        "other_files": {},
    }
    page = (tmp_path / "report/index.html").read_text()
    assert "2 of 4 pairs" in page
    assert ">Skipped<" in page
    for name in "bd":
        (tmp_path / f"blurred/{name}.png").write_bytes(b"no picture")
    result = run(*command, "--force")
    assert result.exit_code == 2
    assert "none of the 4 pairs can be read" in " ".join(result.output.split())


def test_rotated_kernels_are_reported_once(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "kernels").mkdir()
    for name in "ab":
        kernel = rng.random((9, 9)) ** 8
        bs.write_picture(tmp_path / f"sharp/{name}.png", bs.read_frame(place / f"photos/{name}.png"))
        sharp = bs.read_frame(place / f"photos/{name}.png").image[0]
        soft = np.stack([convolve(c, kernel / kernel.sum(), mode="mirror") for c in sharp])
        frame = bs.read_frame(place / f"photos/{name}.png").with_image(
            soft[None].astype(np.float32), bs.Encoding.DISPLAY
        )
        bs.write_picture(tmp_path / f"blurred/{name}.png", frame)
        np.save(tmp_path / f"kernels/{name}.npy", kernel[::-1, ::-1])
    command = ("evaluate", tmp_path / "blurred", "--sharp", tmp_path / "sharp", "--method",
               "wiener:linear_light=false", "--kernels", tmp_path / "kernels", "--metrics", "psnr", "--no-harm", 0,
               "--pictures", 0, "--out", tmp_path / "report")  # fmt: skip
    passes(*command)
    gains = []
    assert [r.getMessage().partition(":")[0] for r in caplog.records if "rotated by 180" in r.getMessage()] == ["a"]
    gains.append(json.loads((tmp_path / "report/summary.json").read_text())["overall"]["wiener"]["gain"]["mean"])
    caplog.clear()
    assert "other kernels" in " ".join(run(*command, "--turn-kernels").output.split())
    passes(*command, "--turn-kernels", "--force")
    assert not [r for r in caplog.records if "rotated by 180" in r.getMessage()]
    gains.append(json.loads((tmp_path / "report/summary.json").read_text())["overall"]["wiener"]["gain"]["mean"])
    assert gains[1] > gains[0] + 1.0


def test_several_sharp_pictures_for_one_blurred(place: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "blurred").mkdir(exist_ok=True)
        shutil.copy(place / "blurred" / f"{name}.png", tmp_path / "blurred")
        (tmp_path / "sharp" / name).mkdir(parents=True)
        for number, other in enumerate(("c", name, "d")):
            shutil.copy(place / "photos" / f"{other}.png", tmp_path / "sharp" / name / f"{number:03d}.png")
    command = ("evaluate", tmp_path / "blurred", "--references", tmp_path / "sharp", "--network",
               place / "same.safetensors", "--out", tmp_path / "report", "--metrics", "psnr", "--cost-size", 0)  # fmt: skip
    passes(*command)
    line = json.loads((tmp_path / "report/results/same.jsonl").read_text().splitlines()[1])
    assert line["values"]["psnr_trajectory"] > 20
    shutil.rmtree(tmp_path / "sharp" / "b")
    result = run(*command, "--force")
    assert result.exit_code == 2
    assert "contains no pictures in the folder 'b'" in result.output


def test_kernels_of_real_pictures_come_from_files(place: Path, tmp_path: Path) -> None:
    command = ("evaluate", place / "blurred", "--sharp", place / "photos", "--method", "richardson_lucy:iterations=10",
               "--metrics", "psnr", "--no-harm", 0, "--pictures", 0, "--out", tmp_path / "report")  # fmt: skip
    result = run(*command)
    assert result.exit_code == 2
    assert "needs the kernel of each picture" in result.output
    (tmp_path / "kernels").mkdir()
    for seed, name in enumerate("abcd"):
        motion = bs.kinds.LinearMotion(length_px=7.0, angle_deg=20.0 * seed)
        np.save(tmp_path / "kernels" / f"{name}.npy", motion.point_spread().to_dense())
    passes(*command, "--kernels", tmp_path / "kernels")
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert summary["overall"]["richardson_lucy"]["gain"]["mean"] > 1.0  # the true kernel, so that it must help
    (tmp_path / "kernels/c.npy").unlink()
    result = run(*command, "--kernels", tmp_path / "kernels")
    assert result.exit_code == 2
    assert "1 of 4 pictures have no kernel (the first is 'c')" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--method", "wiener", "--kernels", "."], "pairs: kernels from files require folders of pictures"),
        ([], "Give at least one --network, --method or --pipeline"),
        (["--network", "nowhere.safetensors"], "there is no such checkpoint"),
        (["--method", "wienerr"], "Did you mean 'wiener'?"),
        (["--method", "wiener", "--method", "wiener"], "Two restorers are named 'wiener'"),
        (["--method", "wiener", "--metrics", "psnrr"], "There is no metric 'psnrr'. Did you mean 'psnr'?"),
        (["--method", "wiener", "--metrics", "lpips"], "--metrics lpips:"),
        (["--method", "wiener", "--metrics", "ms_ssim"], "--metrics ms_ssim:"),
        (["--method", "wiener", "--align", "30"], "--align 30:"),
        (["--method", "wiener", "--metric", "niqe:parameters=./none.json"], "The file none.json"),
        (["--method", "wiener", "--metric", "niqe:params=1"], "Niqe has no field 'params'. Did you mean 'parameters'?"),
        (["--method", "wiener", "--metric", "niqe:parameters"], "'parameters' is not a setting"),
        (["--method", "wiener", "--align", "-1"], "--align must be >= 0"),
        (["--method", "wiener", "--limit", "0"], "--limit must be >= 1"),
        (["--method", "wiener", "--cost-size", "big"], "--cost-size must be WIDTHxHEIGHT"),
        (["--method", "wiener", "--references", "nowhere"], "nowhere: does not exist"),
        (["--method", "wiener", "--sharp", "nowhere"], "nowhere: does not exist"),
    ],
)
def test_bad_input_is_reported_before_any_work(place: Path, tmp_path: Path, more: list[str], words: str) -> None:
    result = run("evaluate", place / "pairs", "--out", tmp_path / "report", *more)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split()), result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "report").exists()


def test_bad_data_and_a_report_of_something_else(place: Path, tmp_path: Path) -> None:
    method = ("--method", "wiener", "--cost-size", 0, "--pictures", 0)
    for data, words in (
        (tmp_path / "none", "none: does not exist"),
        (place / "photos", "neither a blursynth data set"),
    ):
        result = run("evaluate", data, "--out", tmp_path / "report", *method)
        assert result.exit_code == 2
        assert words in " ".join(result.output.split())
    report = ("--out", tmp_path / "report")
    passes("evaluate", place / "pairs", *report, *method, "--metrics", "psnr")
    result = run("evaluate", place / "pairs", *report, *method, "--metrics", "psnr,ssim")
    assert result.exit_code == 2
    assert "holds a report with other metrics" in result.output
    result = run(
        "evaluate", place / "pairs", *report, *method[2:], "--method", "wiener:balance=0.1", "--metrics", "psnr"
    )
    assert result.exit_code == 2
    assert "results of another restorer with this name" in result.output
    passes("evaluate", place / "pairs", *report, *method, "--metrics", "psnr,ssim", "--force")


def test_ctrl_c_keeps_what_is_measured(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deblur_models.classical import Wiener

    whole, calls = Wiener.restore, []

    def stopped(self: Wiener, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, *arguments)  # type: ignore[arg-type]

    command = ("evaluate", place / "pairs", "--method", "wiener", "--out", tmp_path / "report", "--no-harm", 0,
               "--pictures", 0, "--metrics", "psnr")  # fmt: skip
    monkeypatch.setattr(Wiener, "restore", stopped)
    result = run(*command)
    assert result.exit_code == 130
    assert "the same command resumes" in result.output
    passes(*command)
    assert len(calls) == 3 + 2  # the one that was stopped, and the last


def test_default_metrics_are_those_that_fit(place: Path, tmp_path: Path) -> None:
    pairs = open_pairs(place / "pairs")
    chosen, left_out = choose_metrics(None, pairs, None)
    assert [m.name for m in chosen] == ["psnr", "ssim", "gmsd"]
    assert set(left_out) == {"ms_ssim", "niqe_bundled", "lpips_alex"}
    rng = np.random.Generator(np.random.Philox(0))
    path = tmp_path / "large.png"
    bs.write_picture(path, rng.random((3, 200, 230)))
    large = FolderPairs([path], [path], ["large"], "large")
    chosen, left_out = choose_metrics(None, large, None)
    assert {"ms_ssim", "niqe_bundled"} <= {m.name for m in chosen}
    chosen, _ = choose_metrics("ssim,psnr,gmsd", large, None, ["aligned:of=gmsd,max_shift_px=1", "niqe"])
    assert [m.name for m in chosen] == ["psnr", "ssim", "gmsd", "gmsd_aligned", "niqe_bundled"]
    chosen, _ = choose_metrics("ssim, psnr", large, 3)
    assert [m.name for m in chosen] == ["psnr", "ssim", "psnr_aligned", "ssim_aligned"]


def test_sizes() -> None:
    assert parse_size("1280X720") == (720, 1280)
    for wrong in ("1280", "0x5", "ax3", "-3x4"):
        with pytest.raises(InvalidValueError, match="WIDTHxHEIGHT"):
            parse_size(wrong)


def test_folders_of_any_names_are_measured_and_skipped_pairs_are_reported(place: Path, tmp_path: Path) -> None:
    """A name that is not UTF-8, a linked folder, a loop, files of other formats, and no control character."""
    odd = os.fsdecode(b"caf\xe9\x1b[2J.png")
    for folder, source in (("blur", "blurred"), ("sharp", "photos")):
        (tmp_path / folder).mkdir()
        shutil.copy(place / source / "a.png", tmp_path / folder / odd)
        (tmp_path / folder / "more").symlink_to(place / source)
        (tmp_path / folder / "up").symlink_to(tmp_path)
    for part in ("blur", "sharp"):
        (tmp_path / part / os.fsdecode(b"broken\xff.png")).write_bytes(b"no picture")
    (tmp_path / "blur" / "a.xmp").write_bytes(b"x")
    result = run("evaluate", tmp_path / "blur", "--sharp", tmp_path / "sharp", "--network", place / "same.safetensors",
                 "--out", tmp_path / "report", "--metrics", "psnr", "--cost-size", "0", "--no-harm", 0)  # fmt: skip
    assert result.exit_code == 1, result.output
    assert result.stdout.endswith("5 pairs of 6 measured, 2 places not searched.\n")
    assert "Other files in the folders: 1 .xmp" in result.stdout
    assert r"broken\xff" in result.stdout
    assert "a link to a folder that contains it" in result.stdout
    assert "\x1b" not in result.output
    summary = json.loads((tmp_path / "report/summary.json").read_text("utf-8"))
    assert r"caf\xe9" in json.dumps(summary).replace("\\\\", "\\")
    assert r"broken\xff" in (tmp_path / "report/index.html").read_text("utf-8")
