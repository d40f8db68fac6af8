"""Data sets of listed pictures: by name and sha256, from a beginning of which the digest is known."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import blursynth as bs
from blursynth import dataset
from blursynth.cli import app as cli
from blursynth.cli.generate import interruptible
from blursynth.dataset import DatasetRequest, dataset_names, generate, load_request
from blursynth.dataset.photographs import photographs_list
from blursynth.dataset.source_list import SourceList, read_source_list
from blursynth.errors import DatasetError, InvalidValueError, PictureError

SHARES = (("train", 0.6, 6), ("test", 0.4, 3))
ROW = "{name}\t{sha}\tCC0-1.0\tJane Doe\tdebs\n"


def listing(photos: Path, names: list[str]) -> str:
    rows = [ROW.format(name=n, sha=hashlib.sha256((photos / n).read_bytes()).hexdigest()) for n in names]
    return "# name\tsha256\tlicense\tauthor\tpackage\n" + "".join(rows)


@pytest.fixture
def photos(pictures: Path, tmp_path: Path) -> Path:
    """Nine pictures, and one that is not listed."""
    folder = tmp_path / "photos"
    (folder / "sharp").mkdir(parents=True)
    rng = np.random.default_rng(5)
    for number in range(9):
        bs.write_picture(folder / f"sharp/{number}.png", rng.random((3, 60 + number, 90)).astype(np.float32))
    shutil.copy(pictures / "photo1.png", folder / "other.png")
    return folder


@pytest.fixture
def request_file(photos: Path, tmp_path: Path) -> Path:
    """A request as those that ship, in a folder beside the list."""
    (tmp_path / "sets/nine").mkdir(parents=True)
    names = [f"sharp/{n}.png" for n in range(9)]
    (tmp_path / "sets/list.tsv").write_text(listing(photos, names) + ROW.format(name="soft/x.png", sha="0" * 64))
    splits = "".join(f'[[split]]\nname = "{n}"\nshare = {share}\ncount = {count}\n' for n, share, count in SHARES)
    path = tmp_path / "sets/nine/dataset.toml"
    path.write_text(
        'recipe = "clean"\nsize_px = 32\nseed = 9\nshard_length = 2\n[source_list]\nfile = "../list.tsv"\n'
        f'names = "sharp/*"\ncommand = "get photos"\n{splits}'
    )
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="blursynth")
    return result.exit_code, " ".join((result.output).split())


def test_the_listed_pictures_are_used_with_their_licenses(request_file: Path, photos: Path, tmp_path: Path) -> None:
    request = load_request(request_file).replace(sources=photos)
    report = generate(request, tmp_path / "out", workers=1)
    assert report.sources == 9
    assert "train: 1 other picture there is not used: not listed for this data set." in report.notes
    used = [s for name, _, _ in SHARES for s in bs.open_dataset(tmp_path / "out" / name).spec.sources]
    assert {s.name for s in used} == {f"sharp/{n}.png" for n in range(9)}
    assert {s.credit for s in used} == {"CC0-1.0, Jane Doe"}
    own = tmp_path / "own.csv"
    own.write_text("name,license\n3.png,mine\n")
    one = dataset.scan_sources(photos, source_list=request.source_list, licenses=own)
    assert {s.credit for s in one.usable if s.license == "mine"} == {"mine, Jane Doe"}


def test_missing_and_changed_pictures_are_named_before_work_starts(
    request_file: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "sharp/2.png").unlink()
    (photos / "sharp/7.png").unlink()
    shutil.copy(photos / "sharp/4.png", photos / "sharp/5.png")
    code, said = run("build", request_file, tmp_path / "out", "--sources", photos, "--workers", 1)
    assert code == 2
    assert "Of the 9 pictures that list.tsv names for this data set, in" in said
    assert "2 missing: sharp/2.png, sharp/7.png; 1 with another sha256 than listed: sharp/5.png." in said
    assert said.endswith("Get them with: get photos")
    code, said = run("build", request_file, tmp_path / "out", "--sources", photos / "sharp")
    assert (code, f"in {photos}/sharp: all are missing, such as sharp/0.png." in said) == (2, True)
    assert not (tmp_path / "out").exists()
    code, said = run("build", request_file, tmp_path / "out")
    assert code == 2
    assert "--sources is missing: this data set is made of 9 pictures that do not come with it." in said
    assert "Get them with: get photos, and give their folder: --sources FOLDER." in said
    code, said = run("build", "quickstart", tmp_path / "out", "--sources", photos)
    assert (code, "quickstart names its own sources" in said) == (2, True)


def test_a_beginning_has_the_digest_of_the_beginning(request_file: Path, photos: Path, tmp_path: Path) -> None:
    """The digest of the first samples does not depend on how many there are, nor on shards, nor on which job looks."""
    few = generate(load_request(request_file).replace(sources=photos).beginning(3), tmp_path / "few", workers=1)
    text = request_file.read_text()
    for name, digest in ((name, report.digest) for name, report in few.splits.items()):
        stated = f'digest.draws = "{digest["draws"]}"\ndigest.pixels = "{digest["pixels"]}"\ndigest.first = 3\n'
        text = text.replace(f'name = "{name}"\n', f'name = "{name}"\n{stated}')
    request_file.write_text(text)

    code, said = run("build", request_file, tmp_path / "whole", "--sources", photos, "--workers", 1)
    assert (code, "The draws match the expected digest, which is of 6 pairs." in said) == (0, True)
    assert len(bs.open_dataset(tmp_path / "whole/train")) == 6

    build = ("build", request_file, tmp_path / "parts", "--sources", photos, "--workers", 1, "--only", "train")
    code, said = run(*build, "--shards", "0:1")
    assert (code, "expected digest" in said) == (0, False), "sample 2 is not made yet"
    code, said = run(*build, "--shards", "1:2")
    assert "which is of 3 pairs" in said
    assert not (tmp_path / "parts/test").exists()

    code, said = run("build", request_file, tmp_path / "two", "--sources", photos, "--workers", 1, "--first", 2)
    assert (code, "expected digest" in said) == (0, False)
    request = load_request(request_file)
    assert [part.digest is None for part in request.beginning(2).parts().values()] == [True, True]
    assert request.beginning(5).split[0].digest == request.split[0].digest
    assert [part.count for part in request.beginning(5).parts().values()] == [5, 3]

    request_file.write_text(request_file.read_text().replace("seed = 9", "seed = 8"))
    code, said = run("build", request_file, tmp_path / "seed", "--sources", photos, "--workers", 1)
    assert code == 2
    assert "of its first 3 samples, but its request expects" in said


def test_one_split_of_a_request(request_file: Path, photos: Path, tmp_path: Path) -> None:
    request = load_request(request_file).replace(sources=photos)
    with pytest.raises(InvalidValueError, match=r"only: there is no split 'tain'. Did you mean 'train'"):
        generate(request, tmp_path / "out", workers=1, only="tain")
    with pytest.raises(InvalidValueError, match="only: this request has no splits"):
        generate(request.parts()["test"], tmp_path / "out", workers=1, only="test")
    with pytest.raises(InvalidValueError, match="Name the split that is meant: only='train'"):
        generate(request, tmp_path / "out", workers=1, shards=(0, 1))
    assert not (tmp_path / "out").exists()
    code, said = run("build", request_file, tmp_path / "out", "--sources", photos, "--only", "test", "--dry-run")
    assert (code, "3 pairs of 32 px" in said, "6 pairs" in said) == (0, True, False)
    assert not (tmp_path / "out").exists()


def test_stopped_splits_are_named(
    request_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = load_request(request_file).replace(sources=photos)
    generate(request, tmp_path / "out", workers=1, only="train", shards=(0, 2))
    for out, said in (
        (tmp_path / "out", f"{tmp_path}/out/train: 2 of 3 shards (4 of 6 pairs) are finished and kept. Resume with: the same command"),
        (tmp_path / "new", "Stopped before anything was written."),
    ):  # fmt: skip
        with pytest.raises(typer.Exit), interruptible(out, request):
            raise KeyboardInterrupt
        told = " ".join(capsys.readouterr().err.split())
        assert told.endswith(said)
        assert "test" not in told.removeprefix(f"Stopped. {tmp_path}")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.tsv", "name\tsha256\na.png\t12\n", "line 2: 'a.png' has no sha256 of 64 hexadecimal digits"),
        ("a.csv", "name,license\na.png,CC0\n", "line 2: 'a.png' has no sha256"),
        ("a.csv", f"sha256\n{'0' * 64}\n", "line 2: has no name"),
        ("a.csv", f"name,sha256\na,{'0' * 64}\na,{'1' * 64}\n", "line 3: 'a' has an entry already"),
        ("a.csv", f"name,sha256\nb,{'0' * 64}\n", "none of its 1 names matches 'a*'"),
        ("a.json", "[3]", "entry 1: is no object"),
        ("a.txt", "", "must be a .csv, .tsv or .json file"),
    ],
)
def test_lists_that_cannot_be(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidValueError) as caught:
        read_source_list(SourceList(file=str(tmp_path / name), names="a*"))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"split": [{"name": "a", "count": 1, "sources": "b"}]}, "source_list cannot be given together with splits that have sources"),
        ({"count": 3, "digest": {"draws": "0" * 64, "first": 4}}, "digest.first must be at most the count, 3, got 4"),
        ({"split": [{"name": "a", "count": 1, "digest": {"draws": "0" * 64, "first": 2}}]}, "at most the count, 1, got 2"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        DatasetRequest(source_list={"file": "list.csv"}, **fields)
    assert words in str(caught.value)


def test_a_picture_that_cannot_be_read_has_not_the_listed_content(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"name,sha256\nsharp/1.png,{'0' * 64}\n")
    with pytest.raises(PictureError, match=r"1 with another sha256 than listed: sharp/1\.png.*list\.csv names them"):
        dataset.scan_sources(photos, source_list=SourceList(file=str(tmp_path / "list.csv")))


SHIPPED = [name for name in dataset_names() if load_request(name).source_list is not None]


@pytest.mark.parametrize("name", SHIPPED)
def test_data_sets_that_ship(name: str) -> None:
    """Each takes listed photographs, divides all of them, states digests of a beginning, and has a recipe that draws."""
    request = load_request(name)
    assert request.source_list is not None
    listed = read_source_list(request.source_list)
    assert all(one.rights.license and one.rights.attribution for one in listed.values())
    assert Path(request.source_list.file).resolve() == photographs_list()
    parts = request.parts()
    assert list(parts) == ["train", "validation", "test"]
    assert [part.share for part in parts.values()] == [(0, 0.7), (0.7, 0.85), (0.85, 1)]
    assert f"{sum(part.count or 0 for part in parts.values()):,}" == f"{name.rpartition('-')[2][:-1]},000"
    for part in parts.values():
        assert part.digest is not None
        assert part.digest.first == 64
    frame = bs.Frame(np.random.default_rng(1).random((1, 3, 300, 400), dtype=np.float32), encoding="display")
    draws = [request.loaded_recipe.sample(frame, seed=request.seed, index=index) for index in range(3)]
    assert draws[0] != draws[1] != draws[2]
    card = (photographs_list().parents[1] / name / "README.md").read_text("utf-8")
    assert f"blursynth build {name} " in card
    assert f"| `train` | {parts['train'].count:,} |" in card


def test_defocus_has_no_shake() -> None:
    frame = bs.Frame(np.random.default_rng(1).random((1, 3, 300, 400), dtype=np.float32), encoding="display")
    recipe = load_request("defocus-10k").loaded_recipe
    kinds = [step.kind for index in range(8) for _, step in recipe.sample(frame, seed=4, index=index).steps]
    assert "camera_shake" not in kinds
    assert kinds.count("defocus") == 8


def test_a_digest_that_differs_is_an_error_with_both(photos: Path, tmp_path: Path) -> None:
    request = DatasetRequest(
        sources=photos, recipe="clean", count=4, size_px=32, digest={"draws": "0" * 64, "first": 2}
    )
    with pytest.raises(
        DatasetError, match=r"digest of draws [0-9a-f]{64} of its first 2 samples, but its .* expects 000"
    ):
        generate(request, tmp_path / "out", workers=1)
