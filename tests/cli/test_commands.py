"""Every subcommand as a user runs it: output, exit codes, files, and nothing but plain text in a pipe."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import blursynth as bs
from blursynth.backends.compiling import compiling
from blursynth.cli import app as cli
from blursynth.cli import console
from blursynth.cli.arguments import parse_changes, parse_value
from blursynth.cli.kinds import describe_fields
from blursynth.errors import InvalidValueError
from blursynth.records.schema import summary
from blursynth.testing import pictures

COMMANDS = (
    "preview", "generate", "apply", "fit", "build", "datasets", "photographs", "import", "resume", "verify", "inspect", "replay", "realism", "depth", "kinds", "recipes", "schema", "laws", "warm", "camera",
)  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="blursynth")


def passes(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.output), "control characters in a pipe"
    return result.stdout


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "blursynth", *(str(a) for a in arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, seed in (("a", 0), ("b", 1)):
        frame = pictures(bs.Encoding.DISPLAY, batch=1, size_px=(160, 190), seed=seed)
        bs.write_picture(folder / f"{name}.png", frame)
    (folder / "broken.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "pairs"
    passes(*MAKE, photos, out)
    return out


MAKE = ("generate", "-n", 10, "--size", 48, "--seed", 5, "-w", 1, "--shard-length", 4, "--set", "shake.length_px=9")


# What every command shares.


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_and_units(command: str) -> None:
    text = passes(command, "--help")
    assert "Examples:" in text
    assert f"blursynth {command}" in text
    for line in text.splitlines():
        assert len(line) <= 120


def test_help_lists_every_command() -> None:
    text = passes("--help")
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", text, re.MULTILINE), command
    assert "..." not in text.partition("Commands:")[2].partition("Examples:")[0], "a summary was cut"
    assert run().exit_code == 2


def test_version() -> None:
    assert passes("--version") == f"blursynth {bs.__version__}\n"


def test_help_is_light() -> None:
    """Heavy libraries are loaded by the commands that need them."""
    code = "import blursynth.cli.app, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "numpy", "pydantic", "scipy", "zarr", "cv2", "PIL", "rich", "distributed"} & set(loaded)


def test_as_a_program(photos: Path) -> None:
    """Without the test runner: exit codes and streams of a real process."""
    for arguments, code, out, err in (
        (("--version",), 0, "blursynth", ""),
        (("kinds", "identty"), 2, "", "Error: There is no kind 'identty'. Did you mean 'identity'?"),
        (("preview", photos / "broken.png"), 2, "", "broken.png: is not a picture that can be read."),
    ):
        child = process(*arguments)
        stdout, stderr = child.communicate(timeout=120)
        assert child.returncode == code
        assert stdout.startswith(out)
        assert err in stderr
        assert (out == "") == (stdout == "")
        assert "Traceback" not in stderr


def test_debug_shows_the_trace() -> None:
    child = process("kinds", "identty", "--debug")  # people add it at the end of the line
    _, stderr = child.communicate(timeout=120)
    assert child.returncode == 1
    assert "Traceback" in stderr
    assert "InvalidValueError" in stderr


def test_a_trace_steers_no_terminal() -> None:
    child = process("inspect", "a\x1b[2Jb", "--debug")
    _, stderr = child.communicate(timeout=120)
    assert child.returncode == 1
    assert "Traceback" in stderr
    assert r"a\x1b[2Jb: there is no such folder" in stderr
    assert "\x1b" not in stderr


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m blursynth schema | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert done.stdout == "{\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (bs.PictureError("a.png: is empty.", fix="Leave it out."), 2, "Error: a.png: is empty. Leave it out.\n"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), 2, "Error: a.png: No such file or directory.\n"),
        (MemoryError(), 2, "Error: out of memory. Use fewer workers"),
        (KeyboardInterrupt(), 130, "Error: stopped by Ctrl-C.\n"),
        (ZeroDivisionError("division by zero"), 70, "Error: ZeroDivisionError: division by zero. This is a bug in blursynth"),
        (RuntimeError("odd"), 70, "Error: RuntimeError: odd. This is a bug in blursynth"),
    ],
)  # fmt: skip
def test_errors_are_one_message(fault: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise fault

    monkeypatch.setattr("blursynth.recipe.recipe.recipe_names", fail)
    result = run("recipes")
    assert result.exit_code == code
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_logs_and_warnings_go_to_the_error_output(monkeypatch: pytest.MonkeyPatch) -> None:
    def chatter() -> tuple[str, ...]:
        logging.getLogger("blursynth.somewhere").warning("the disk is slow")
        logging.getLogger("blursynth.somewhere").info("not shown")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("a field is odd", stacklevel=1)
        return ("default",)

    monkeypatch.setattr("blursynth.recipe.recipe.recipe_names", chatter)
    before = (warnings.showwarning, logging.getLogger("blursynth").handlers[:])
    result = run("recipes")
    assert result.exit_code == 0
    assert "the disk is slow" in result.stderr
    assert "a field is odd" in result.stderr
    assert "not shown" not in result.output
    assert "slow" not in result.stdout
    assert before == (warnings.showwarning, logging.getLogger("blursynth").handlers)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20), ("1.5", 1.5), ("true", True), ('"420"', "420"), ("paper", "paper"), ("1e3", 1000.0),
        ("{uniform=[1,2]}", {"uniform": [1, 2]}), ("{ choice = ['a', 'b'] }", {"choice": ["a", "b"]}), ("-3", -3),
        ("kernels/a-1.npy", "kernels/a-1.npy"), ("/data/vgg19-dcbb9e9d.pth", "/data/vgg19-dcbb9e9d.pth"),
        ("./a.pth", "./a.pth"), ("../a.pth", "../a.pth"), ("~/a.pth", "~/a.pth"),
    ],
)  # fmt: skip
def test_values_are_those_of_toml(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize("text", ["", " ", "{", "[1", "1\nb = 2", "a b", "=", "1 2"])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_changes([f"a.b={text}"])


# kinds, recipes, schema


def test_summaries_end_where_their_paragraph_ends() -> None:
    text = " ".join(passes("kinds").split())
    assert "rounded to codes: the inverse of GammaDecode" in text
    assert all(summary(kind) in text for kind in bs.kinds.ALL)


def test_kinds_lists_all() -> None:
    text = passes("kinds")
    for kind in bs.kinds.ALL:
        assert re.search(rf"^ {kind.kind} ", text, re.MULTILINE), kind


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=[k.kind for k in bs.kinds.ALL])
def test_kind_in_full(kind: type[bs.Degradation]) -> None:
    text = passes("kinds", kind.kind)
    for field in kind.model_fields:
        assert re.search(rf"^ {field} ", text, re.MULTILINE), field
    assert "`" not in text
    assert not re.search(r":(class|func|meth|attr|mod):", text)


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=[k.kind for k in bs.kinds.ALL])
def test_nothing_is_cut_off_on_a_narrow_terminal(kind: type[bs.Degradation], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = passes("kinds", kind.kind)
    for name, field in kind.model_fields.items():
        assert name in text
        assert (field.description or "").split()[-1] in text


def test_fields_have_units_ranges_and_defaults() -> None:
    fields = {row[0]: row[1:4] for row in describe_fields(bs.kinds.Sensor)}
    assert fields["full_well_e"] == ("e-", "(0, 10,000,000]", "needed")
    assert fields["gain_dn_per_e"] == ("DN/e-", "(0, 100,000]", "-")
    assert fields["bit_depth"] == ("-", "[2, 16] integer", "12")
    assert fields["shot_noise"] == ("-", "true, false", "true")
    assert fields["seed"] == ("-", "[0, 2^63) integer", "drawn")
    assert {row[0]: row[2] for row in describe_fields(bs.kinds.Jpeg)}["subsampling"] == "444, 422, 420"
    assert {row[0]: row[2] for row in describe_fields(bs.kinds.MeasuredBlur)}["kernel"] == "array"


def test_recipes_lists_all() -> None:
    text = passes("recipes")
    for name in bs.recipe_names():
        assert re.search(rf"^ {name} +\w", text, re.MULTILINE), name


@pytest.mark.parametrize("name", bs.recipe_names())
def test_recipe_as_toml_is_the_recipe(name: str, tmp_path: Path) -> None:
    for number, options in enumerate(([], ["--full"])):
        path = tmp_path / f"{number}.toml"
        path.write_text(passes("recipes", name, *options))
        assert bs.load_recipe(path) == bs.load_recipe(name)
    assert "extends" not in tomllib.loads((tmp_path / "1.toml").read_text())


def test_recipe_with_a_change(tmp_path: Path) -> None:
    text = passes("recipes", "default", "--set", "jpeg.quality=33", "--set", "lens.sigma_px={uniform=[1,2]}")
    steps = {s["name"]: s for s in tomllib.loads(text)["step"]}
    assert steps["jpeg"]["quality"] == 33
    assert steps["lens"]["sigma_px"] == {"uniform": [1, 2]}
    assert re.search(r"^sigma_px = \{ uniform = \[[\d., ]+\] \}$", text, re.MULTILINE)
    (tmp_path / "mine.toml").write_text("extends = 'default'\nremove = ['jpeg']")
    without = tomllib.loads(passes("recipes", tmp_path / "mine.toml"))
    assert "jpeg" in steps
    assert "jpeg" not in {s["name"] for s in without["step"]}


def test_examples_of_help_name_recipes_that_ship() -> None:
    named = {
        name
        for command in cli.app.registered_commands
        for name in re.findall(r"(?:--recipe|-r) (\S+)", str(command.epilog))
    }
    shipped = {name for name in named if not name.endswith(".toml")}
    assert {"portrait", "motion-only"} <= shipped <= set(bs.recipe_names())


def test_schema_is_json() -> None:
    assert json.loads(passes("schema"))["$schema"] == "https://json-schema.org/draft/2020-12/schema"


# preview


class ClosedPipe(io.StringIO):
    """Standard output whose reader has gone, as after ``| head``."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("command", ["inspect {made} --sheet {file}", "replay {made} 1 --output {file}"])
def test_a_closed_pipe_loses_no_file(command: str, made: Path, tmp_path: Path) -> None:
    words = command.format(made=made, file=tmp_path / "sheet.png").split()
    with contextlib.redirect_stdout(ClosedPipe()), contextlib.suppress(BrokenPipeError, SystemExit):
        cli.app(words, standalone_mode=False)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 192


@pytest.mark.parametrize("words", [["verify"], ["inspect"]])
def test_a_closed_pipe_is_no_damage(words: list[str], made: Path) -> None:
    with contextlib.redirect_stdout(ClosedPipe()):
        assert cli.app([*words, str(made)], standalone_mode=False) == 141  # 128 + SIGPIPE; 1 is damage


def test_maps_of_another_size_do_not_send_to_the_same_command(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / "a.npy", np.full((40, 50), 2.0))
    folder = run("preview", photos / "a.png", "--size", 64, "--depth", tmp_path / "maps").stderr
    assert (
        "running blursynth preview on one picture with its map, --depth FILE or --labels FILE, shows how to fix it."
        in folder
    )
    itself = run("preview", photos / "a.png", "--size", 64, "--depth", tmp_path / "maps" / "a.npy").stderr
    assert "crop or resize both in the same way" in itself
    generate = run(
        "generate", photos / "a.png", tmp_path / "out", "-n", 1, "--size", 64, "--depth", tmp_path / "maps"
    ).stderr
    assert (
        "running blursynth preview on one picture with its map, --depth FILE or --labels FILE, shows how to fix"
        in generate
    )


def test_titles_say_what_was_changed(photos: Path, tmp_path: Path) -> None:
    options = ("--size", 64, "-r", "clean", "--set", "shake.length_px=9")
    note = "; changed: shake.length_px = 9"
    titles = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "blursynth.dataset.contact_sheet.write_contact_sheet", lambda *_, **o: titles.append(o["subtitle"])
        )
        passes("preview", photos / "a.png", "--count", 1, *options, "-o", tmp_path / "s.png")
        passes("generate", photos / "a.png", tmp_path / "out", "-n", 1, "-w", 1, *options)
        text = passes("inspect", tmp_path / "out", "--sheet", tmp_path / "s.png")
    assert [title.endswith(note) for title in titles] == [True, True]
    assert note in " ".join(text.split())
    assert note in " ".join((tmp_path / "out" / "README.md").read_text("utf-8").split())


def test_preview_draws_a_sheet(photos: Path, tmp_path: Path) -> None:
    text = passes("preview", photos / "a.png", "--count", 3, "--size", 64, "--seed", 2, "-o", tmp_path / "s.png")
    assert text == f"written: {tmp_path / 's.png'} (3 samples of a.png with recipe default, seed 2)\n"
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.height > 3 * 192


@pytest.mark.parametrize("options", [("--size", 64), ("--size", 48, "--downscale", 2, "--linear")])
def test_preview_is_what_generate_makes(options: tuple[object, ...], tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    bs.write_picture(picture, pictures(bs.Encoding.DISPLAY, batch=1, size_px=(160, 190)), bit_depth=16)
    common = (*options, "--seed", 4, "-r", "clean", "--set", "shake.length_px=9")
    passes("preview", picture, "--count", 1, *common, "-o", tmp_path / "s.png")
    passes("generate", picture, tmp_path / "out", "-n", 1, "-w", 1, *common)
    sample = bs.open_dataset(tmp_path / "out")[0]
    times = 192 // len(sample.blurred)
    enlarged = sample.blurred.repeat(times, axis=0).repeat(times, axis=1)
    sheet = np.asarray(Image.open(tmp_path / "s.png"))
    corners = np.argwhere((sheet == enlarged[0, 0]).all(axis=-1))
    assert any(np.array_equal(sheet[y : y + 192, x : x + 192], enlarged) for y, x in corners)


def test_preview_of_what_is_too_small_or_has_no_effect(photos: Path) -> None:
    result = run("preview", photos / "a.png", "--size", 100, "--downscale", 2)
    assert "a.png: 190 x 160 px (width x height) is smaller than the crops of 100 px at 1/2. " in result.stderr
    assert "Give a smaller --size or --downscale." in result.stderr
    result = run("preview", photos / "a.png", "--size", 64, "--linear")
    assert result.exit_code == 2
    assert "Error: --linear changes nothing here: the picture (a.png) has 8 bits" in result.stderr
    assert "--downscale must be <= 8, got 9." in run("preview", photos / "a.png", "--downscale", 9).stderr


@pytest.mark.parametrize("recipe", bs.recipe_names())
def test_every_recipe_can_be_previewed(recipe: str, tmp_path: Path) -> None:
    # Chains of two resizings and two compressions reach 75 px beyond a crop.
    bs.write_picture(tmp_path / "a.png", pictures(bs.Encoding.DISPLAY, batch=1, size_px=(220, 230)))
    passes("preview", tmp_path / "a.png", "--count", 2, "--size", 64, "-r", recipe, "-o", tmp_path / "s.png")


# generate, apply, resume


def test_apply_blurs_whole_pictures(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wishes = ("apply", photos, "--out", out, "--recipe", "clean", "--seed", 3, "-w", 1)
    text = passes(*wishes, "--tile", 64)
    assert re.search(r"out: made 2 pairs in [\d.]+ s\n", text)
    assert "Not used: 1 of the inputs" in text
    assert re.search(r"broken\.png +is not a picture that can be read", text)
    for name in ("a", "b"):
        sharp, blurred = (bs.read_frame(out / half / f"{name}.png") for half in ("sharp", "blurred"))
        assert sharp.size_px == blurred.size_px == (160, 190)
        assert not (sharp.image == blurred.image).all()
    assert len((out / "draws.jsonl").read_text().splitlines()) == 2
    assert f"Nothing to do: 2 pairs in {out} already exist." in passes(*wishes, "--tile", 64)
    other = run(*wishes, "--tile", 128)
    assert other.exit_code == 2
    assert "started with other arguments: --tile (64 there, 128 now)" in other.output
    small = run(*wishes, "--tile", 3)
    assert small.exit_code == 2
    assert "--tile must be 0 for the whole picture, or an integer >= 64, got 3." in small.output


def test_crops_without_detail_are_told(photos: Path, tmp_path: Path) -> None:
    wishes = ("generate", photos, tmp_path / "out", "-n", 6, "--size", 32, "-w", 1, "--recipe", "clean")
    planned = passes(*wishes, "--min-detail", 1, "--dry-run")
    assert re.search(r"passed over +[\d.]+% of the windows tried show less than a detail of 1\n", planned)
    text = passes(*wishes, "--min-detail", 1)
    assert re.search(r"passed over: [\d.]+% of the windows tried show less than the least detail\n", text)
    assert bs.open_dataset(tmp_path / "out").spec.min_detail == 1.0
    wrong = run(*wishes, "--min-detail", 0)
    assert wrong.exit_code == 2
    assert "--min-detail must be > 0.0, got 0.0." in wrong.output


def test_generate_says_what_it_made(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = passes(*MAKE, photos, out)
    assert re.search(r"out: made 10 pairs in [\d.]+ s \((?!0 per)[\d.,]+ per second\), 3 shards, [\d.]+ kB\n", text)
    assert "Not used: 1 of the inputs" in text
    assert re.search(r"broken\.png +is not a picture that can be read", text)
    assert re.search(r"digest of pixels [0-9a-f]{16}, of draws [0-9a-f]{16}", text)
    dataset = bs.open_dataset(out)
    assert (len(dataset), dataset.spec.seed, dataset.spec.size_px) == (10, 5, 48)
    assert {getattr(s.draw["shake"], "length_px", 9) for s in dataset} == {9}
    again = passes(*MAKE, photos, out, "--report")
    assert f"Nothing to do: all 10 pairs in {out} already exist." in again
    assert f"written: {out}.html" in again
    assert "<html" in (tmp_path / "out.html").read_text()
    unfinished = passes(*MAKE, photos, tmp_path / "part", "--shards", "0:1", "--report")
    assert f"{tmp_path / 'part'} has no page yet, since it is not finished" in unfinished


def test_dry_run_writes_nothing(photos: Path, tmp_path: Path) -> None:
    text = passes(*MAKE, photos, tmp_path / "out", "--dry-run")
    for pattern in (
        r"10 pairs of 48 px with recipe default, seed 5",
        r"sources +2 pictures",
        r"layout +3 shards of 4 samples",
        r"size +about [\d.]+ kB in .*out \([\d.]+ \wB are free\)",
        r"time +about [\d.]+ s with 1 worker\n",
        r"reach +up to \d+ px",
        r"Nothing was written: this was a dry run.",
    ):
        assert re.search(pattern, text), text
    assert not (tmp_path / "out").exists()


def test_job_array_and_stores(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = (*MAKE, photos, out, "--store", "kernel,params", "--crops-per-source", 2)
    assert "Not finished: some of the 3 shards are still to be made." in passes(*common, "--shards", "1:3")
    text = run(*common, "--shards", "0:1")
    assert text.exit_code == 0
    assert "digest of pixels" in text.stdout
    dataset = bs.open_dataset(out)
    assert dataset[0].kernel is not None
    assert dataset.params()[1].shape[0] == 10


def test_quiet_says_only_what_is_unusual(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (*MAKE, photos, tmp_path / "out", "--quiet")
    first = run(*arguments)
    assert (first.exit_code, first.output) == (0, "")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setenv("XDG_STATE_HOME", "")
    again = run(*arguments)
    assert again.stdout == ""
    assert again.stderr.startswith("note: the location of the sources could not be saved")
    quiet = run("resume", tmp_path / "out", "-q")
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_going_on_is_said(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    passes(*MAKE, photos, out, "--shards", "0:1")
    result = run("resume", out, "-w", 1)
    assert result.exit_code == 0
    assert f"{out} is unfinished: 4 of 10 samples exist and are kept; resuming." in result.stderr
    assert "made 6 pairs" in result.stdout
    assert "1 shard kept from before" in result.stdout
    assert "Nothing to do" in passes("resume", out)


def test_ctrl_c_keeps_what_is_finished(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = process(*MAKE, photos, out, "-n", 100_000, start_new_session=True)
    deadline = time.monotonic() + 90
    while len(list(out.glob("manifest/*.json"))) < 3:
        assert time.monotonic() < deadline
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    found = re.search(r"Stopped. (\d+) of 25000 shards \(([\d,]+) of 100,000 pairs\) are finished and kept.", stderr)
    assert found, stderr
    assert int(found[1]) == len(list(out.glob("manifest/*.json")))
    assert f"Resume with: blursynth resume {out}" in stderr
    assert "Traceback" not in stderr


def test_ctrl_c_before_anything_is_written(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("blursynth.dataset.generate", stop)
    result = run(*MAKE, photos, tmp_path / "out")
    assert result.exit_code == 130
    assert "Stopped before anything was written." in result.stderr


# verify, inspect, replay


def test_a_data_set_with_an_own_kind(photos: Path, tmp_path: Path) -> None:
    from blursynth import dataset

    class Mine(bs.kinds.Identity):
        """Own."""

    out = tmp_path / "out"
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("own", Mine()), ("encode", bs.kinds.Encode())])
    dataset.generate(
        dataset.DatasetRequest(sources=[photos / "a.png"], recipe=recipe, count=4, size_px=48, shard_length=2),
        out,
        workers=1,
        shards=(0, 1),
    )
    for arguments, code in (
        (("resume", out, "-w", 1), 2),
        (("resume", out, "-w", 2), 2),
        (("inspect", out), 2),
        (("replay", out, 0), 2),
        (("verify", out, "--replay", 1), 1),
    ):
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert "There is no kind 'mine' here: the command line knows only the kinds that ship" in result.output
        assert "blursynth.open_dataset(path, kinds=(*blursynth.kinds.ALL, Mine))" in result.output
        assert "Known: " not in result.output


def test_verify(made: Path) -> None:
    text = passes("verify", made)
    assert f"{made} is sound: 10 pairs in 3 shards, every file checked." in text
    text = passes("verify", made, "--deep", "--replay", 2)
    assert re.search(r"every file and every picture checked, 2 samples rendered again \(--replay-seed \d+\)\.", text)
    text = passes("verify", made, "--shards", "1:3", "--workers", 1)
    assert f"{made} is sound in shards 1:3: 6 pairs in 2 shards, every file checked." in text
    assert "digest" not in text


def test_verify_lists_problems_and_repair_mends_them(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    passes(*MAKE, photos, out)
    victim = next(p for p in (out / "blurred" / "c" / "1").rglob("*") if p.is_file())
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(bytes(data))
    result = run("verify", out)
    assert result.exit_code == 1
    assert f"{out} has 1 problem:" in result.stdout
    assert "its content was changed (sha256 differs)" in result.stdout
    assert f"Make what is damaged again with: blursynth repair {out}" in result.stdout
    assert f"{out}: 1 shard made again" in passes("repair", out, "-w", 1)
    assert f"{out}: nothing was damaged" in passes("repair", out, "-w", 1)
    assert "made 4 pairs" in passes("resume", out, "--redo", "1", "-w", 1)
    passes("verify", out, "--deep")
    for name in ("index.json", "manifest/000002.json"):
        (out / name).unlink()
    result = run("verify", out)
    assert result.exit_code == 1
    assert result.stdout.endswith(f"Finish it with: blursynth resume {out}\n")


def test_inspect(made: Path, tmp_path: Path) -> None:
    text = passes("inspect", made, "--sheet", tmp_path / "sheet.png", "--rows", 3)
    for pattern in (
        r"pairs +10 of 48 px, finished",
        r"recipe +default: A phone in hand",
        r"seed +5",
        r"layout +3 shards of 4 samples",
        r"shake: gaussian_process_motion, \d+ %",
        r"full_well_e +e- +[\d,]+ +[\d,]+ +[\d,]+ +[\d,]+ +[\d,]+ +[▁-█ ]+",
        r"Sample 0\n",
        r"window +48 px at row \d+, column \d+, \d+ px around it used",
    ):
        assert re.search(pattern, text), pattern
    assert "length_px    " not in text.partition("Sample 0")[0]  # it is 9 in all, so there is nothing to show
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 3 * 192
    text = passes("inspect", made, "--sample", 7)
    assert "Sample 7\n" in text
    assert "Drawn numbers" not in text
    assert str(bs.open_dataset(made)[7].record["source_sha256"]) in text


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_inspect_fits_the_screen(columns: int, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = passes("inspect", made)
    drawn = text.partition("Drawn numbers")[2].partition("Sample 0")[0]
    assert max(map(len, text.splitlines())) <= columns
    assert re.search(r"^ shake: gaussian_process_motion, \d+ %$", drawn, re.MULTILINE)
    assert re.search(r"^   full_well_e +(e- +)?\d[\d,]+ ", drawn, re.MULTILINE)
    if columns >= 80:  # the histogram stands in the line of its field
        assert re.search(r"^   full_well_e +e-( +[\d,]+){3,5}  [▁-█ ]+$", drawn, re.MULTILINE)
    assert not re.search(r"^[ ▁-█]+$", drawn, re.MULTILINE)


def test_inspect_unfinished(photos: Path, tmp_path: Path) -> None:
    passes(*MAKE, photos, tmp_path / "out", "--shards", "1:2")
    text = passes("inspect", tmp_path / "out")
    assert "not finished: 1 of 3 shards" in text
    assert "from 4 samples" in text
    assert "Sample 4\n" in text


def test_replay(made: Path, tmp_path: Path) -> None:
    text = passes("replay", made, 3, "-o", tmp_path / "sample.png")
    assert "Sample 3: rendered again, all bytes are the same." in text
    assert (tmp_path / "sample.png").stat().st_size > 0


def test_a_small_picture_fills_its_frame() -> None:
    from blursynth.dataset.contact_sheet import Row, contact_sheet

    picture = np.full((100, 100, 3), 77, np.uint8)
    sheet = contact_sheet([Row(picture, picture, bs.Draw((("decode", bs.kinds.Decode()),)))], title="one")
    assert int((sheet == 77).all(axis=-1).sum()) == 2 * 200 * 200


def test_replay_says_when_bytes_differ(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blursynth import dataset

    honest = dataset.replay(made, 3)
    other = dataset.Replay(3, False, {"blurred": 2.0}, honest.arrays, honest.draw)
    monkeypatch.setattr("blursynth.dataset.replay", lambda *args, **options: other)
    result = run("replay", made, 3)
    assert result.exit_code == 1
    assert "Sample 3: rendered again, it differs: blurred by up to 2." in result.stdout


def test_progress_on_a_terminal(photos: Path, tmp_path: Path) -> None:
    """The live bar needs a terminal; a pseudo-terminal stands for one."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "blursynth", *(str(a) for a in (*MAKE, photos, tmp_path / "out", "-n", 300))],
        stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "COLUMNS": "110", "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    stdout, _ = child.communicate(timeout=120)
    os.close(ours)
    assert child.returncode == 0
    assert b"scanning the pictures" in shown
    assert b"making" in shown
    assert b"1 skipped" in shown
    assert b"\x1b" not in stdout
    assert b"Traceback" not in shown


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_shown_only_while_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for bar in (console.compiling_line(), console.progress_bar("samples")):
        monkeypatch.setattr(sys, "stderr", screen := _Terminal())
        with bar:
            assert "Compiling" not in screen.getvalue()
            for _ in range(2):
                with compiling("kernel"):
                    pass
        assert re.search(r"Compiling kernels for this machine \(first use\):.* 2 \.\.\. \d+ s", screen.getvalue())
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    with console.compiling_line(), compiling("kernel"):
        pass
    assert not pipe.getvalue()


def test_no_word_of_a_file_steers_the_terminal(tmp_path: Path) -> None:
    """Names and copyright that hold escape sequences, a line break and the mark that turns text around."""
    folder = tmp_path / "photos\x1b]0;title\x07"
    exif = Image.Exif()
    exif[0x8298] = "me\x1b[31m\nError: nothing"
    folder.mkdir()
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(codes).save(folder / "a\x1b[2J\u202e.png", exif=exif)
    for name in ("b\x1b[2J.png", os.fsdecode(b"c\xff\nError: all is lost.png"), "d.e\x1bf"):
        (folder / name).write_text("no picture")
    (folder / "loop\x9b2J").symlink_to(folder)
    out = tmp_path / "out\x1b[1m"
    command = ("generate", folder, out, "-n", 1, "--size", 48, "-w", 1, "-r", "clean")
    shown = [run(*command, "--dry-run"), run(*command), run("inspect", out, "--sample", 0), run("verify", out),
             run("preview", folder / "b\x1b[2J.png"), run("generate", "no\x1b[1m\nthing", out, "-n", 1),
             run("generate", "--\x1b[2J", out, "-n", 1),
             run("preview", folder / "a\x1b[2J\u202e.png", "-r", "clean", "--size", 48, "-n", 1, "-o", tmp_path / "s.png")]  # fmt: skip
    assert [result.exit_code for result in shown] == [0, 0, 0, 0, 2, 2, 2, 0], [r.output for r in shown]
    for result in shown:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", result.output), result.output
    for result in shown:
        assert not re.search("^Error: (nothing|all is lost)", result.output, re.MULTILINE)
    made = shown[1].stdout
    assert r"c\xff\x0aError: all is lost.png" in made
    assert r"loop\x9b2J" in made
    assert r"Other files in the folders: 1 .e\x1bf" in made
    assert made.endswith("1 picture used; not used: 3 of the inputs, 1 file of other formats.\n")
    assert shown[0].stdout.endswith(
        "this was a dry run. 1 picture used; not used: 3 of the inputs, 1 file of other formats.\n"
    )
