"""``deblur apply`` as a user runs it: every kind of file comes back as it was, and nothing is overwritten or lost."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms
from typer.testing import CliRunner, Result

from blursynth.errors import InvalidValueError, PictureError
from deblur_models.checkpoints import shipped
from deblur_models.checkpoints.checkpoint import load_network, save_network
from deblur_models.cli import app as cli
from deblur_models.cli.restorer_options import different_names, load_restorer, split_name
from deblur_models.data.picture_file import PictureFile, read_picture, written_suffix
from deblur_models.networks import create_network

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SHIFT = 0.125  # what the network of the tests adds to every value


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="deblur")


def passes(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.output), "control characters in a pipe"
    return result.stdout


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adds SHIFT to every pixel and leaves the rest alone, so that results are known."""
    torch.manual_seed(0)
    made = create_network("nafnet", "tiny", width=4)
    torch.nn.init.zeros_(made.ending.weight)  # type: ignore[arg-type, union-attr]
    torch.nn.init.constant_(made.ending.bias, SHIFT)  # type: ignore[arg-type, union-attr]
    path = tmp_path_factory.mktemp("network") / "brighter.safetensors"
    save_network(made, path)
    return path


def codes(height: int = 40, width: int = 52, channels: int = 3, *, top: int = 200, dtype: Any = np.uint8) -> Any:
    rng = np.random.Generator(np.random.Philox(3))
    return rng.integers(0, top, (height, width, channels)).astype(dtype)


def shifted(before: NDArray[Any]) -> NDArray[Any]:
    top = np.iinfo(before.dtype).max
    return np.rint(np.clip(before / top + SHIFT, 0, 1) * top).astype(before.dtype)


def test_eight_bits_of_color_with_metadata(network: Path, tmp_path: Path) -> None:
    before = codes()
    tags = Image.Exif()
    tags[0x010F], tags[0x8298], tags[0x0112] = "Maker", "CC0", 6
    tags.get_ifd(0x8769)[0x829A] = 0.25  # time of exposure
    for name in ("a.png", "b.tif", "c.webp", "d.jpg"):
        options: dict[str, Any] = {"lossless": True} if name == "c.webp" else {}
        Image.fromarray(before).save(
            tmp_path / name, exif=tags.tobytes(), icc_profile=PROFILE, dpi=(300, 300), **options
        )
    out = passes("apply", *(tmp_path / n for n in ("a.png", "b.tif", "c.webp", "d.jpg")), "--network", network, "--out",
                 tmp_path / "out")  # fmt: skip
    assert "4 pictures restored by brighter" in out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.tif", "c.webp", "d.jpg"]
    for name in ("a.png", "b.tif", "c.webp", "d.jpg"):
        with Image.open(tmp_path / "out" / name) as after:
            assert after.info["icc_profile"] == PROFILE, name
            found = after.getexif()
            assert (found[0x010F], found[0x8298], found.get(0x0112, 1)) == ("Maker", "CC0", 1), name
            assert found.get_ifd(0x8769)[0x829A] == 0.25, name
            assert after.mode == "RGB"
            if name != "c.webp":
                assert after.info["dpi"] == pytest.approx((300, 300), abs=0.01)
            if name == "a.png":  # turned upright, by a quarter to the right
                expected = shifted(np.ascontiguousarray(np.rot90(before, -1)))
                assert (np.asarray(after) == expected).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_becomes_upright(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    tags = Image.Exif()
    tags[0x0112] = orientation
    picture = Image.fromarray(np.dstack([codes(), codes(channels=1, top=255)]))
    picture.save(tmp_path / "a.png", exif=tags)
    with Image.open(tmp_path / "a.png") as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    file = read_picture(tmp_path / "a.png")
    assert file.alpha is not None
    assert (np.dstack([file.codes, file.alpha]) == upright).all()


def test_transparency_and_gray_stay(network: Path, tmp_path: Path) -> None:
    color, alpha, gray = codes(), codes(channels=1, top=255), codes(channels=1)
    Image.fromarray(np.dstack([color, alpha])).save(tmp_path / "rgba.png")
    Image.fromarray(gray[..., 0]).save(tmp_path / "gray.png")
    Image.fromarray(np.dstack([gray, alpha]), mode=None).save(tmp_path / "la.png")
    passes("apply", tmp_path, "--network", network, "--out", tmp_path / "out")
    with Image.open(tmp_path / "out/rgba.png") as after:
        assert (np.asarray(after) == np.dstack([shifted(color), alpha])).all()
    with Image.open(tmp_path / "out/gray.png") as after:
        assert after.mode == "L"
        assert (np.asarray(after) == shifted(gray)[..., 0]).all()
    with Image.open(tmp_path / "out/la.png") as after:
        assert after.mode == "LA"
        assert (np.asarray(after) == np.dstack([shifted(gray), alpha])).all()


def test_sixteen_bits_stay_sixteen_bits(network: Path, tmp_path: Path) -> None:
    color, alpha = codes(top=60000, dtype=np.uint16), codes(channels=1, top=65535, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), color[..., ::-1])
    cv2.imwrite(str(tmp_path / "deep.tif"), color[..., ::-1])
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([color[..., ::-1], alpha]))
    cv2.imwrite(str(tmp_path / "gray.png"), alpha)
    with Image.open(tmp_path / "gray.png") as picture:
        tags = Image.Exif()
        tags[0x010F] = "Maker"
        picture.save(tmp_path / "tagged.png", exif=tags, icc_profile=PROFILE, dpi=(200, 200))
    passes("apply", tmp_path, "--network", network, "--out", tmp_path / "out")

    def read(name: str) -> NDArray[Any]:
        return np.asarray(cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED))

    assert (read("deep.png") == shifted(color)[..., ::-1]).all()
    assert (read("deep.tif") == shifted(color)[..., ::-1]).all()
    assert (read("alpha.png") == np.dstack([shifted(color)[..., ::-1], alpha])).all()
    for name in ("gray.png", "tagged.png"):
        assert read(name).dtype == np.uint16
        assert (np.abs(read(name).astype(int) - shifted(alpha)[..., 0].astype(int)) <= 1).all()  # the mean of three
    with Image.open(tmp_path / "out/tagged.png") as after:
        after.load()
        assert after.getexif()[0x010F] == "Maker"
        assert after.info["dpi"] == pytest.approx((200, 200), abs=0.02)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("kind", ["color", "transparent", "gray"])
def test_a_tiff_of_sixteen_bits_keeps_its_tags(kind: str, endian: str, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags.endian = endian
    tags[0x010F], tags[0x0112] = "Maker", 1
    tags[0x8769] = {0x829A: 0.25}  # time of exposure
    tags[0x8825] = {1: "N", 2: (48.0, 8.0, 2.5)}  # latitude
    color = codes(height=301, width=437, top=65535, dtype=np.uint16)  # of several strips
    color = color[..., :1].repeat(3, axis=2) if kind == "gray" else color
    alpha = codes(height=301, width=437, channels=1, top=65535, dtype=np.uint16)[..., 0]
    file = PictureFile(Path("a.tif"), color, alpha if kind == "transparent" else None, kind == "gray",
                       tags.tobytes(), PROFILE, (300.0, 300.0))  # fmt: skip
    path = tmp_path / "a.tif"
    path.write_bytes(file.encoded(file.tensor(), ".tif"))
    again = read_picture(path)
    assert (again.codes == color).all()
    assert (again.gray, again.icc_profile, again.dpi) == (kind == "gray", PROFILE, (300.0, 300.0))
    assert (again.alpha is None) == (kind != "transparent")
    assert again.alpha is None or (again.alpha == alpha).all()
    read = Image.Exif()
    read.load(again.exif)
    assert (read[0x010F], read.get_ifd(0x8769)[0x829A], read.get_ifd(0x8825)[2]) == ("Maker", 0.25, (48.0, 8.0, 2.5))
    seen = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    turned = color[..., ::-1]
    assert (seen == {"gray": color[..., 0], "color": turned, "transparent": np.dstack([turned, alpha])}[kind]).all()


def test_a_profile_goes_into_a_png_of_sixteen_bits(tmp_path: Path) -> None:
    color = codes(top=60000, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), color[..., ::-1])
    file = replace(read_picture(tmp_path / "deep.png"), icc_profile=PROFILE)
    (tmp_path / "with.png").write_bytes(file.encoded(file.tensor(), ".png"))
    with Image.open(tmp_path / "with.png") as after:
        after.verify()  # checksums of the chunks that were put in
    again = read_picture(tmp_path / "with.png")
    assert again.icc_profile == PROFILE
    assert (again.codes == color).all()


def test_a_cmyk_profile_is_not_put_on_an_rgb_picture(network: Path, tmp_path: Path) -> None:
    Image.fromarray(codes()).convert("CMYK").save(tmp_path / "a.jpg", icc_profile=b"a profile of inks")
    passes("apply", tmp_path / "a.jpg", "--network", network, "--out", tmp_path / "out")
    with Image.open(tmp_path / "out/a.jpg") as after:
        assert after.mode == "RGB"
        assert "icc_profile" not in after.info


@pytest.mark.parametrize(
    ("mode", "suffix", "said", "written"),
    [("CMYK", "tif", "is CMYK and is converted to RGB", "RGB"), ("P", "png", "with a palette", "RGB"),
     ("1", "png", "is a 1-bit picture and is converted to 8-bit gray", "L"), ("RGB", "png", "", "RGB"), ("L", "png", "", "L")],
)  # fmt: skip
def test_conversions_are_reported(
    mode: str, suffix: str, said: str, written: str, network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(codes()).convert(mode).save(photos / f"a.{suffix}")
    (photos / "a.dng").write_bytes(b"raw files hold light")
    shown = passes("apply", photos, "--network", network, "--out", tmp_path / "out")
    assert "Other files in the folders: 1 .dng" in shown
    assert shown.endswith("1 picture used; not used: 1 file of other formats.\n")
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == bool(said), told
    assert all(said in text for text in told)
    with Image.open(tmp_path / f"out/a.{suffix}") as after:
        assert after.mode == written


def test_the_default_tile_is_the_whole_picture_where_tiles_change_the_result(network: Path) -> None:
    made = {
        tile: load_restorer(
            str(network), tile=tile, overlap=None, ensemble=False, device="cpu", precision="float32", local_px=local_px
        )
        for tile, local_px in ((None, 0), (0, 0), (256, 0))
    }
    assert [(r.tile_px, r.whole_up_to_px) for r in made.values()] == [(512, 2_000_000), (None, 0), (256, 0)]
    windowed = load_restorer(
        str(network), tile=None, overlap=None, ensemble=False, device="cpu", precision="float32", local_px=32
    )
    assert (windowed.tile_px, windowed.whole_up_to_px) == (512, 0)


def test_tiles_and_ensemble_of_any_size(network: Path, tmp_path: Path) -> None:
    before = codes(101, 67)
    Image.fromarray(before).save(tmp_path / "a.png")
    for number, more in enumerate(([], ["--tile", 48, "--overlap", 16], ["--tile", 0, "--ensemble", "--local-px", 32])):
        passes("apply", tmp_path / "a.png", "--network", network, "--out", tmp_path / f"{number}", *more)
        with Image.open(tmp_path / f"{number}/a.png") as after:
            assert (np.asarray(after) == shifted(before)).all()


def test_the_padding_of_the_published_code_on_the_command_line(tmp_path: Path) -> None:
    torch.manual_seed(5)
    save_network(create_network("deepdeblur", "tiny"), tmp_path / "net")
    save_network(create_network("hinet", "tiny"), tmp_path / "hinet")
    before = codes(33, 21)
    Image.fromarray(before).save(tmp_path / "a.png")
    made = {}
    for way in ("mirror", "published"):
        passes("apply", tmp_path / "a.png", "--network", tmp_path / "net", "--out", tmp_path / way, "--padding", way)
        with Image.open(tmp_path / way / "a.png") as after:
            made[way] = np.asarray(after)
    assert made["mirror"].shape == made["published"].shape == before.shape
    assert (made["mirror"] != made["published"]).any()
    for words, network, way in (("does not pad images", "hinet", "published"), ("got 'zero'", "net", "zero")):
        result = run(
            "apply", tmp_path / "a.png", "--network", tmp_path / network, "--out", tmp_path / "b", "--padding", way
        )
        assert result.exit_code == 2
        assert words in " ".join(result.stderr.split())


def test_pictures_that_cannot_be_used_are_left_out_and_the_others_done(network: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deeper").mkdir(parents=True)
    Image.fromarray(codes()).save(photos / "good.png")
    Image.fromarray(codes()).save(photos / "deeper/good.png")
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.png").write_text("no picture")
    (photos / "cut.png").write_bytes((photos / "good.png").read_bytes()[:2000])
    (photos / "notes.txt").write_text("not looked at")
    result = run("apply", photos, tmp_path / "missing.png", "--network", network, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 pictures restored" in result.stdout
    for name, why in (
        ("empty.jpg", "is empty"), ("text.png", "not a picture"), ("cut.png", "damaged"), ("missing.png", "no such file"),
    ):  # fmt: skip
        assert name in result.stdout
        assert why in result.stdout, result.stdout
    assert "notes.txt" not in result.stdout
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")) == [
        os.path.join("deeper", "good.png"), "good.png",
    ]  # fmt: skip


def test_nothing_is_overwritten_without_force(network: Path, tmp_path: Path) -> None:
    Image.fromarray(codes()).save(tmp_path / "a.png")
    out = tmp_path / "out"
    passes("apply", tmp_path / "a.png", "--network", network, "--out", out)
    (out / "a.png").write_bytes(b"mine")
    result = run("apply", tmp_path / "a.png", "--network", network, "--out", out)
    assert result.exit_code == 1
    assert "already exists and is not overwritten" in " ".join(result.stdout.split())
    assert (out / "a.png").read_bytes() == b"mine"
    passes("apply", tmp_path / "a.png", "--network", network, "--out", out, "--force")
    assert (out / "a.png").read_bytes() != b"mine"
    assert not list(out.glob(".*"))


def test_names_that_are_not_utf_8_are_restored(network: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[2J.png")
    Image.fromarray(codes()).save(tmp_path / name)
    result = run("apply", tmp_path / name, tmp_path / "gone\x1b.png", "--network", network, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert (tmp_path / "out" / name).exists()
    assert "gone\\x1b.png" in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "Give one of --network, --method and --pipeline, got none. No network ships with this installation."),
        (["--network", "NETWORK", "--strength", "1.6"], "--strength"),
        (["--network", "NETWORK", "--strength", "nan"], "--strength"),
        (
            ["--network", "x", "--method", "wiener"],
            "got --network and --method. For a method followed by a network: --pipel",
        ),
        (["--pipeline", "wiener"], "--pipeline must be STEP+STEP, got 'wiener'"),
        (["--pipeline", "wiener+ +NETWORK"], "--pipeline must be STEP+STEP"),
        (["--pipeline", "wiener+nowhere", "--kernel", "k.npy"], "nowhere: there is no such checkpoint"),
        (["--pipeline", "wiener:balance=-1+nowhere"], "Wiener.balance must be > 0"),
        (["--network", "x", "--kernel", "k.npy"], "--kernel requires --method or --pipeline"),
        (["--network", "nowhere"], "nowhere: there is no such checkpoint"),
        (["--network", "NETWORK", "--tile", "-1"], "--tile must be >= 0"),
        (["--network", "NETWORK", "--tile", "64", "--overlap", "40"], "0 to half of tile_px"),
        (["--network", "NETWORK", "--device", "toaster"], "There is no device"),
        (["--network", "NETWORK", "--device", "cuda:99"], "CUDA"),
        (["--network", "NETWORK", "--precision", "double"], "There is no precision"),
        (["--network", "NETWORK", "--local-px", "-3"], "local_px must be >= 0"),
        (["--network", "NETWORK", "--suffix", "a/b"], "without slashes"),
    ],
)
def test_bad_options_are_reported_before_any_work(
    network: Path, tmp_path: Path, more: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "nothing ships")
    Image.fromarray(codes()).save(tmp_path / "a.png")
    given = [str(network) if m == "NETWORK" else m for m in more]
    result = run("apply", tmp_path / "a.png", "--out", tmp_path / "out", *given)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_out_must_be_a_folder(network: Path, tmp_path: Path) -> None:
    Image.fromarray(codes()).save(tmp_path / "a.png")
    (tmp_path / "out").write_text("a file")
    result = run("apply", tmp_path / "a.png", "--out", tmp_path / "out", "--network", network)
    assert result.exit_code == 2
    assert "is a file, not a folder" in result.output


def test_a_network_that_gives_nan_writes_nothing(tmp_path: Path) -> None:
    broken = create_network("nafnet", "tiny", width=4)
    torch.nn.init.constant_(broken.ending.bias, float("nan"))  # type: ignore[arg-type, union-attr]
    save_network(broken, tmp_path / "broken.safetensors")
    Image.fromarray(codes()).save(tmp_path / "a.png")
    result = run("apply", tmp_path / "a.png", "--network", tmp_path / "broken.safetensors", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "contains NaN or infinite values" in " ".join(result.stdout.split())
    assert not (tmp_path / "out/a.png").exists()


def test_light_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.hdr"), np.ones((8, 8, 3), np.float32))
    with pytest.raises(PictureError, match="holds light"):
        read_picture(tmp_path / "a.hdr")
    assert written_suffix(tmp_path / "a.hdr") == ".png"


def test_a_classical_method_with_a_given_kernel(tmp_path: Path) -> None:
    kernel = np.ones((1, 7)) / 7
    np.save(tmp_path / "k.npy", kernel)
    sharp = np.zeros((48, 64, 3), np.uint8)
    sharp[12:36, 16:48] = 180
    Image.fromarray(sharp).save(tmp_path / "blurred.png")
    more = ("--kernel", tmp_path / "k.npy", "--out", tmp_path / "out")
    out = passes(
        "apply", tmp_path / "blurred.png", "--method", "richardson_lucy:iterations=5,linear_light=false", *more
    )
    assert "1 picture restored by richardson_lucy" in out
    for method, words in (
        (["--method", "wiener"], "--method wiener needs the kernel"),
        (["--method", "wienr", "--kernel", tmp_path / "k.npy"], "Did you mean 'wiener'?"),
        (["--method", "wiener:blance=1", "--kernel", tmp_path / "k.npy"], "Did you mean 'balance'?"),
        (["--method", "wiener:balance", "--kernel", tmp_path / "k.npy"], "'balance' is not a setting"),
        (["--method", "wiener", "--kernel", tmp_path / "none.npy"], "none.npy: there is no such file"),
    ):
        result = run("apply", tmp_path / "blurred.png", "--out", tmp_path / "other", *method)
        assert result.exit_code == 2, result.output
        assert words in " ".join(result.output.split())


def test_a_method_followed_by_a_network(network: Path, tmp_path: Path) -> None:
    """A kernel of one point is no blur, so that the network's shift is all that changes."""
    np.save(tmp_path / "k.npy", np.eye(1))
    before = codes()
    Image.fromarray(before).save(tmp_path / "a.png")
    pipeline = ("--pipeline", f"wiener:balance=0.1 + net={network}")
    out = passes("apply", tmp_path / "a.png", *pipeline, "--kernel", tmp_path / "k.npy", "--out", tmp_path / "out")
    assert "1 picture restored by wiener + net" in out
    assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) == shifted(before)).all()
    result = run("apply", tmp_path / "a.png", *pipeline, "--out", tmp_path / "out", "--force")
    assert result.exit_code == 2
    assert "--pipeline wiener + net needs the kernel: --kernel FILE" in " ".join(result.output.split())


def test_names_of_restorers(tmp_path: Path) -> None:
    assert split_name("runs/a/best.safetensors")[0] == "a"
    assert split_name("x=runs/b.json") == ("x", "runs/b.json")
    assert split_name("run=1/net.safetensors") == ("run", "1/net.safetensors")
    with pytest.raises(InvalidValueError, match="Two restorers are named 'a'"):
        different_names(["a", "b", "a"])


@pytest.fixture
def ships(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of networks that ship, with one: the network of the tests, in half precision."""
    folder = tmp_path / "weights"
    save_network(load_network(network), folder / "photographs", half=True)
    (folder / "photographs.md").write_text("# photographs\n\nAdds an eighth.\n")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_a_picture_alone_is_enough(ships: Path, tmp_path: Path) -> None:
    before = codes()
    Image.fromarray(before).save(tmp_path / "photo.png")
    out = passes("apply", tmp_path / "photo.png")
    assert "network: photographs, which ships with deblur_models" in out
    assert f"{tmp_path / 'photo-deblurred.png'}: 1 picture restored by photographs\n" in out
    assert "looks sharp already" not in out
    assert (np.asarray(Image.open(tmp_path / "photo-deblurred.png")) == shifted(before)).all()
    again = run("apply", tmp_path / "photo.png", "--strength", 0.5)
    assert again.exit_code == 1
    assert "already exists and is not overwritten" in " ".join(again.output.split())
    out = passes("apply", tmp_path / "photo.png", "--strength", 0.5, "--force")
    assert "restored by photographs at strength 0.5" in out
    halfway = np.asarray(Image.open(tmp_path / "photo-deblurred.png")).astype(float)
    assert np.abs(halfway - before - 255 * SHIFT / 2).max() <= 0.51
    (tmp_path / "folder").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(before).save(tmp_path / "folder" / name)
    assert "2 pictures restored by photographs, each next to its original as NAME-deblurred" in passes(
        "apply", tmp_path / "folder"
    )
    assert "Other files in the folders: 2 restored" in run("apply", tmp_path / "folder", "--force").output
    assert len(list((tmp_path / "folder").iterdir())) == 4


def test_a_network_that_ships_is_known_by_its_name(ships: Path, tmp_path: Path) -> None:
    Image.fromarray(codes()).save(tmp_path / "photo.png")
    out = passes("apply", tmp_path / "photo.png", "--network", "photographs", "--out", tmp_path / "out")
    assert "which ships" not in out  # it was named
    result = run("apply", tmp_path / "photo.png", "--network", "photograph")
    assert result.exit_code == 2
    assert "there is no such checkpoint. Did you mean 'photographs'?" in result.output
    assert "Adds an eighth." in passes("networks", "photographs")
    assert re.search(r"^ *photographs +[\d.]+ kB", passes("networks"), re.MULTILINE)


def test_a_sharp_picture_is_said_to_be_sharp(tmp_path: Path) -> None:
    for name, bias, words in (
        ("same", 0.0, "photo.png looks sharp already: not changed at all"),
        ("nearly", 0.004, "photo.png looks sharp already: changed by 48 dB (PSNR)"),
        ("other", 0.011, None),  # 39 dB
    ):
        made = create_network("nafnet", "tiny", width=4)
        torch.nn.init.zeros_(made.ending.weight)  # type: ignore[arg-type, union-attr]
        torch.nn.init.constant_(made.ending.bias, bias)  # type: ignore[arg-type, union-attr]
        save_network(made, tmp_path / name)
        Image.fromarray(codes()).save(tmp_path / "photo.png")
        out = passes("apply", tmp_path / "photo.png", "--network", tmp_path / name, "--force")
        assert (words in out) if words else ("looks sharp" not in out), out
