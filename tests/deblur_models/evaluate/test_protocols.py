"""Public test sets in miniature: found wherever the folder that is given begins, measured as published, or refused."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import blursynth as bs
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.testing import pictures
from deblur_models.checkpoints.checkpoint import save_network
from deblur_models.cli import app as cli
from deblur_models.evaluate import PROTOCOLS, evaluate, find_protocol
from deblur_models.evaluate.layouts import open_layout
from deblur_models.metrics import metric
from deblur_models.networks import create_network

REALBLUR = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
# Name of the protocol: blurred and sharp pictures of two pairs (several sharp ones at Köhler's), and files beside them.
SETS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "gopro": [(f"GOPRO_Large/test/GOPR0384_11_0{i}/blur/000001.png", (f"GOPRO_Large/test/GOPR0384_11_0{i}/sharp/000001.png",)) for i in (0, 5)],
    "gopro-gamma": [(f"test/GOPR0384_11_00/blur_gamma/00000{i}.png", (f"test/GOPR0384_11_00/sharp/00000{i}.png",)) for i in (1, 2)],
    "hide": [(f"HIDE/test/test-{part}/{name}.png", (f"HIDE/GT/{name}.png",)) for part, name in (("close-ups", "1fromGOPR1096"), ("long-shot", "7fromGOPR0977"))],
    "reds": [(f"REDS/val/val_blur/00{i}/0000000{i}.png", (f"REDS/val/val_sharp/00{i}/0000000{i}.png",)) for i in (0, 1)],
    "reds-300": [(f"val_blur/000/000000{i}9.png", (f"val_sharp/000/000000{i}9.png",)) for i in (0, 1)],
    "reds-jpeg-300": [(f"val/val_blur_jpeg/00{i}/00000009.jpg", (f"val/val_sharp/00{i}/00000009.png",)) for i in (0, 1)],
    "bsd-2ms16ms": [(f"BSD/BSD_2ms16ms/test/02{i}/Blur/RGB/00000000.png", (f"BSD/BSD_2ms16ms/test/02{i}/Sharp/RGB/00000000.png",)) for i in (2, 3)],
    "realblur-j": [(f"{REALBLUR}/scene050/blur/blur_{i}.png", (f"{REALBLUR}/scene050/gt/gt_{i}.png",)) for i in (1, 2)],
    "realblur-r": [(f"RealBlur_R/test/input/{i}.png", (f"RealBlur_R/test/target/{i}.png",)) for i in (1, 2)],
    "rsblur": [(f"RSBlur/0001/00002{i}/real_blur/real_blur.png", (f"RSBlur/0001/00002{i}/gt/gt_sharp.png",)) for i in (2, 3)],
    "koehler": [(f"BlurryImages/Blurry1_{i}.png", tuple(f"GroundTruthImg/GroundTruth1_{i}/{n}.png" for n in (1, 2, 3))) for i in (1, 12)],
    "lai-uniform": [(f"synthetic_dataset/uniform/manmade_01_kernel_0{i}.png", ("synthetic_dataset/ground_truth/manmade_01.png",)) for i in (1, 2)],
    "lai-nonuniform": [(f"synthetic_dataset/nonuniform/text_0{i}_gyro_07.png", (f"synthetic_dataset/ground_truth/text_0{i}.png",)) for i in (1, 2)],
    "lai-real": [(f"real_dataset/{name}.jpg", ()) for name in ("boat", "text2")],
}  # fmt: skip
LISTS = {"realblur-j": "RealBlur_J_test_list.txt", "rsblur": "RSBlur_real_test.txt"}
# What lies beside a set and is no pair of it.
OTHERS = {
    "gopro": ["GOPRO_Large/train/GOPR0372_07_00/blur/000047.png", "GOPRO_Large/test/GOPR0384_11_00/blur_gamma/000001.png"],
    "reds-300": ["val_blur/000/00000005.png"],
    "bsd-2ms16ms": ["BSD/BSD_2ms16ms/train/000/Blur/RGB/00000000.png", "BSD/BSD_1ms8ms/test/022/Blur/RGB/00000000.png"],
    "realblur-j": [f"{REALBLUR}/scene001/blur/blur_1.png"],
    "rsblur": ["RSBlur/0001/000022/avg65_img/avg_blur.png"],
    "lai-uniform": ["synthetic_dataset/kernel/kernel_01.png"],
}  # fmt: skip


def write(path: Path, seed: int, size_px: tuple[int, int] = (12, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bs.write_picture(path, np.random.Generator(np.random.Philox(seed)).random((3, *size_px)))


def made(root: Path, name: str) -> Path:
    """The miniature of a set; its pictures differ."""
    for number, (blurred, sharp) in enumerate(SETS[name]):
        for place, file in enumerate((blurred, *sharp)):
            write(root / file, 10 * number + place)
    for file in OTHERS.get(name, ()):
        write(root / file, 99)
    if name in LISTS:
        lines = [f"{sharp[0]} {blurred}" for blurred, sharp in SETS[name]]
        (root / LISTS[name]).write_text("\n".join(lines) + "\n")
    return root


def test_every_protocol_has_a_miniature() -> None:
    assert {one.name for one in PROTOCOLS} - set(SETS) == {"bsd-1ms8ms", "bsd-3ms24ms"}  # like bsd-2ms16ms


@pytest.mark.parametrize("name", SETS)
def test_sets_are_found_from_above_and_from_within(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = made(tmp_path / "data", name)
    protocol = find_protocol(name)
    within = root / Path(SETS[name][0][0]).parts[0]
    for place in (tmp_path, root, within):
        pairs, references = protocol.open(place)
        assert pairs.has_sharp == (name != "lai-real")
        assert (references is not None) == (name == "koehler")
        assert len(pairs) == 2
        for sample, (blurred, sharp) in zip(pairs, sorted(SETS[name]), strict=True):
            assert (sample.blurred == bs.io.pictures.read_pixels(root / blurred)).all()
            several = [bs.io.pictures.read_pixels(root / file) for file in sharp or (blurred,)]
            assert (sample.sharp == several[len(several) // 2]).all()
            if references is not None:
                listed = [np.rint(one.movedim(0, -1).numpy() * 255) for one in references(sample)]
                assert all((a == b).all() for a, b in zip(listed, several, strict=True))
    assert f"{name}: 2 pairs; published figures are means over {protocol.pairs}" in caplog.text


@pytest.mark.parametrize("name", [name for name in SETS if name != "lai-real"])
def test_a_sharp_picture_is_missing(name: str, tmp_path: Path) -> None:
    root = made(tmp_path, name)
    for file in SETS[name][1][1]:
        (root / file).unlink()
    expected = (root / SETS[name][1][1][0]).with_suffix("")
    with pytest.raises(DatasetError) as caught:
        find_protocol(name).open(root)
    text = str(caught.value)
    if name == "koehler":
        assert f"expected at {root}/GroundTruthImg/GroundTruth1_12/*.*" in text
    elif name == "lai-uniform":
        assert "2 of 2 blurred pictures have no sharp one" in text  # they share it
    else:
        assert str(expected) in text
        assert re.search(r"1 of (2 blurred|its 4) pictures", text)
    assert "Was the archive unpacked completely?" in text


def test_another_folder_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    root = made(tmp_path / "data", "hide")
    with pytest.raises(DatasetError) as caught:
        find_protocol("gopro").open(root)
    text = str(caught.value)
    assert "test/{scene}/blur/{frame}.* with test/{scene}/sharp/{frame}.*" in text
    assert "Found: 4 pictures, the first HIDE/GT/1fromGOPR1096.png" in text
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"RealBlur_J_test_list\.txt with lines 'SHARP BLURRED'.*Found: no pictures"):
        find_protocol("realblur-j").open(tmp_path / "empty")
    with pytest.raises(DatasetError, match=r"none: does not exist"):
        find_protocol("reds").open(tmp_path / "none")
    with pytest.raises(InvalidValueError, match=r"no protocol 'realblur_j'\. Did you mean 'realblur-j'"):
        find_protocol("realblur_j")


def test_a_list_is_read_with_suspicion(tmp_path: Path) -> None:
    root = made(tmp_path / "data", "rsblur")
    protocol, path = find_protocol("rsblur"), root / LISTS["rsblur"]
    good = path.read_text()
    write(tmp_path / "secret.png", 1)
    for line, why in (
        ("../secret.png ../secret.png", "is not a sharp and a blurred path below one folder"),
        (f"{tmp_path}/secret.png {tmp_path}/secret.png", "is not a sharp and a blurred path below one folder"),
        ("one", "line 3: 'one' is not a sharp"),
        (good.splitlines()[0], "lists a blurred picture twice"),
        ("RSBlur/a.png RSBlur/b.png", r"2 of its 6 pictures do not exist, such as .*RSBlur/a.png"),
    ):
        path.write_text(good + line + "\n")
        with pytest.raises(DatasetError, match=why):
            protocol.open(root)
    path.write_text("elsewhere/a.png elsewhere/b.png\n")
    with pytest.raises(DatasetError, match=r"its first picture, elsewhere/a.png, is neither in"):
        protocol.open(root)
    path.write_text("\n")
    with pytest.raises(DatasetError, match="is empty"):
        protocol.open(root)
    path.write_bytes(b"a b\n" * 4_000_001)
    with pytest.raises(DatasetError, match="is larger than 16,000,000 bytes"):
        protocol.open(root)


def test_names_with_brackets_are_names(tmp_path: Path) -> None:
    root = made(tmp_path / "[a] * {b}", "koehler")
    pairs, references = open_layout(root, find_protocol("koehler").layouts, "koehler")
    assert references is not None
    assert len(list(references(pairs[1]))) == 3


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="deblur")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Leaves pictures alone."""
    made = create_network("nafnet", "tiny", width=4)
    torch.nn.init.zeros_(made.ending.weight)  # type: ignore[arg-type, union-attr]
    torch.nn.init.zeros_(made.ending.bias)  # type: ignore[arg-type, union-attr]
    path = tmp_path_factory.mktemp("network") / "same.safetensors"
    save_network(made, path)
    return path


def test_realblur_is_measured_after_registration(network: Path, tmp_path: Path) -> None:
    root = tmp_path / "RealBlur"
    lines = []
    for number, shift in ((1, 2), (2, 3)):  # the "blurred" picture is the sharp one, moved
        scene = pictures(bs.Encoding.DISPLAY, batch=1, size_px=(80, 110), seed=number)
        for half, left in (("gt", 0), ("blur", shift)):
            path = root / REALBLUR / f"scene00{number}/{half}/{half}_{number}.png"
            bs.write_picture(path, scene.image[0][..., left : left + 100])
        folder = f"{REALBLUR}/scene00{number}"
        lines.append(f"{folder}/gt/gt_{number}.png {folder}/blur/blur_{number}.png")
    (root / "RealBlur_J_test_list.txt").write_text("\n".join(lines))
    command = ("evaluate", root, "--protocol", "realblur-j", "--network", network, "--out", tmp_path / "report", "--cost-size", "0")  # fmt: skip
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "realblur-j: 2 pairs" in result.stdout
    assert "PSNR registered dB" in result.stdout
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    line = summary["overall"]["same"]
    assert line["metrics"]["psnr_registered"]["mean"] > line["metrics"]["psnr"]["mean"] + 8
    assert line["gain_registered"]["mean"] == 0
    assert set(line["metrics"]) == {"psnr", "psnr_registered", "ssim_registered"}
    assert "homography of highest ECC" in (tmp_path / "report/index.html").read_text()
    again = run(*command, "--metrics", "gmsd", "--force")
    assert again.exit_code == 0, again.output
    assert "GMSD" in again.stdout
    refused = run(*command, "--align", 3)
    assert refused.exit_code == 2
    assert "--align cannot be combined with --protocol" in refused.output


def test_a_set_without_sharp_pictures(network: Path, tmp_path: Path) -> None:
    for number in range(2):
        scene = pictures(bs.Encoding.DISPLAY, batch=1, size_px=(200, 230), seed=number)
        bs.write_picture(tmp_path / f"real_dataset/scene{number}.png", scene)
    command = ("evaluate", tmp_path, "--protocol", "lai-real", "--network", network, "--out", tmp_path / "report", "--cost-size", "0")  # fmt: skip
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "lai-real: 2 pictures" in result.stdout
    assert "PSNR" not in result.stdout
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert set(summary["overall"]["same"]["metrics"]) == {"niqe_bundled"}
    assert "no_harm" not in summary["overall"]["same"]
    page = (tmp_path / "report/index.html").read_text()
    assert "sharp.png" not in page
    assert "PSNR dB" not in page
    assert not list((tmp_path / "report").rglob("sharp.png"))
    pairs, _ = find_protocol("lai-real").open(tmp_path)
    with pytest.raises(InvalidValueError, match="has no sharp pictures to compare with, which ssim needs"):
        evaluate(pairs, [], tmp_path / "other", metrics=[metric("ssim")])


def test_protocols_are_listed() -> None:
    listed = run("protocols")
    assert listed.exit_code == 0
    for protocol in PROTOCOLS:
        assert re.search(rf"^ *{protocol.name} +{protocol.pairs:,} ", listed.stdout, re.MULTILINE), protocol.name
    one = run("protocols", "rsblur")
    assert "RSBlur_real_test.txt with lines 'SHARP BLURRED'" in one.stdout
    assert "psnr_registered_clipped" in one.stdout
    assert run("protocols", "gopr").exit_code == 2


def test_a_complete_set_is_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(48):
        write(tmp_path / f"blurred/{number}.png", number, (8, 8))
        write(tmp_path / f"sharp/{number}/1.png", number, (8, 8))
    with caplog.at_level(logging.WARNING):
        find_protocol("koehler").open(tmp_path)
    assert not caplog.records


def test_a_picture_in_two_formats_is_not_chosen_from(tmp_path: Path) -> None:
    root = made(tmp_path, "hide")
    write(root / "HIDE/test/test-close-ups/1fromGOPR1096.jpg", 3)
    with pytest.raises(DatasetError, match=r"holds two pictures HIDE/test/test-close-ups/1fromGOPR1096\.\*"):
        find_protocol("hide").open(root)
