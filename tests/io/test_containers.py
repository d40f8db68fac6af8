"""Pictures inside tar and Parquet files; the archives are written by tarfile, GNU tar's rules and pyarrow."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blursynth as bs
from blursynth.errors import PictureError
from blursynth.io import containers, parquet_rows
from blursynth.io.containers import exists, list_members, member_size, open_file, read_file
from blursynth.io.folders import walk_with_containers
from blursynth.io.kept import Kept
from blursynth.io.pictures import file_sha256, read_header, read_pixels

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def png(seed: int, height: int = 9, width: int = 14) -> bytes:
    codes = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "png")
    return file.getvalue()


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, data


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_that_tarfile_reads(tmp_path: Path, form: int) -> None:
    long = "/".join(["folder" * 5] * (4 if form == tarfile.USTAR_FORMAT else 9)) + "/caf\u00e9 \udce9.png"
    if form == tarfile.PAX_FORMAT:
        long = long.replace("\udce9", "\u00e9")  # pax names are UTF-8
    path = write_tar(
        tmp_path / "a.tar",
        member("./0001.png", png(1)), member("b", kind=tarfile.DIRTYPE), member("b/0002.jpg", b"x" * 512),
        member(long, png(3)), member("empty.png"),
        form=form,
    )  # fmt: skip
    with tarfile.open(path) as tar:
        expected = {
            m.name.removeprefix("./"): tar.extractfile(m).read()  # type: ignore[union-attr]
            for m in tar if m.isreg()
        }  # fmt: skip
    found = list_members(path)
    assert found.left_out == ()
    assert {name: read_file(path / name) for name in found.names} == expected
    assert len(expected) == 4
    assert [member_size(path, name) for name in found.names] == [len(data) for data in expected.values()]


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs the program tar")
def test_members_of_gnu_tar_with_a_sparse_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    with (tmp_path / "holes.png").open("wb") as file:
        for at in range(0, 40 << 20, 1 << 20):  # more holes than the first header can hold
            file.seek(at)
            file.write(b"data")
    (tmp_path / "z.png").write_bytes(png(2))
    for form in ("gnu", "pax"):
        subprocess.run(
            ["tar", "--sparse", f"--format={form}", "-cf", f"{form}.tar", "a.png", "holes.png", "z.png"],
            cwd=tmp_path, check=True,
        )  # fmt: skip
        found = list_members(tmp_path / f"{form}.tar")
        assert (found.names, found.left_out) == (
            ("a.png", "z.png"), (("holes.png", "a sparse file, which is not read"),),
        )  # fmt: skip
        assert read_file(tmp_path / f"{form}.tar" / "z.png") == png(2)


def test_hostile_members_are_left_out_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(9))
    path = write_tar(
        tmp_path / "a.tar",
        member("../secret.png", png(1)), member("/etc/passwd.png", png(1)), member("a/../../secret.png", png(1)),
        member("link.png", kind=tarfile.SYMTYPE, link="../secret.png"),
        member("hard.png", kind=tarfile.LNKTYPE, link="good.png"),
        member("pipe.png", kind=tarfile.FIFOTYPE), member("device.png", kind=tarfile.CHRTYPE),
        member("good.png", png(2)), member("good.png", png(3)),
    )  # fmt: skip
    found = walk_with_containers(tmp_path, (".png",))
    assert [str(f) for f in found.files] == ["a.tar/good.png", "secret.png"]
    why = {str(name): words for name, words in found.left_out}
    outside = "its name leads out of the tar"
    assert why == {
        "a.tar/../secret.png": outside, "a.tar/etc/passwd.png": outside, "a.tar/a/../../secret.png": outside,
        "a.tar/link.png": "a link, which is not followed", "a.tar/hard.png": "a link, which is not followed",
        "a.tar/pipe.png": "a pipe (FIFO)", "a.tar/device.png": "a device",
        "a.tar/good.png": "a later member has the same name",
    }  # fmt: skip
    assert read_file(path / "good.png") == png(3)  # as after extraction
    for name in ("../secret.png", "link.png", "nothing.png", "."):
        with pytest.raises((PictureError, OSError)):
            read_header(path / name)
    assert not exists(path / "link.png")
    assert exists(path / "good.png")


def damaged_header(data: bytearray, at: int, where: slice, value: bytes) -> bytes:
    """A header with another field, its checksum made right."""
    head = bytearray(data[at : at + 512])
    head[where] = value
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    data[at : at + 512] = head
    return bytes(data)


SIZE = slice(124, 136)


@pytest.mark.parametrize(
    ("spoil", "names", "words"),
    [
        (lambda d: d[: len(png(1)) // 2], None, "not a tar, or damaged"),
        (lambda d: d[:1024], (), "cut off"),
        (lambda d: d[: 512 * 5 + 20], ("0.png",), "damaged at byte 2,560 (truncated header)"),
        (lambda d: d[: 512 * 5], ("0.png",), "no end marker"),
        (lambda d: d[:2560] + b"\x01" * 100 + d[2660:], ("0.png",), "damaged at byte 2,560"),
        (lambda d: d + d, ("0.png", "1.png"), "behind its end marker"),
        (lambda d: damaged_header(d, 0, SIZE, b"77777777777\0"), (), "cut off"),
        (lambda d: damaged_header(d, 0, SIZE, b"\x80" + b"\x7f" * 11), (), "cut off"),
        (lambda d: damaged_header(d, 0, SIZE, b"\xff" * 12), (), "damaged at byte 0"),
        (lambda d: damaged_header(d, 0, slice(156, 157), b"x"), (), "extended header"),
        (lambda d: b"", None, "is empty"),
        (lambda d: b"\x1f\x8b" + bytes(d), None, "compressed (gzip)"),
        (lambda d: png(1), None, "not a tar"),
    ],
)
def test_damaged_tars(
    tmp_path: Path, spoil: Callable[[bytearray], bytes], names: tuple[str, ...] | None, words: str
) -> None:
    path = write_tar(tmp_path / "a.tar", member("0.png", png(1, 20, 25)), member("1.png", png(2, 20, 25)))
    assert path.stat().st_size == 10240
    whole = bytearray(path.read_bytes())
    if words == "behind its end marker":
        whole += bytes(100_000)
    path.write_bytes(spoil(whole))
    if names is None:
        with pytest.raises(PictureError, match=words.replace("(", r"\(").replace(")", r"\)")):
            list_members(path)
        return
    found = list_members(path)
    assert found.names == names
    assert words in " ".join(why for _, why in found.left_out)


def test_a_huge_member_is_refused_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "a.tar", member("0.png", png(1)))
    with path.open("r+b") as file:  # two gigabytes of holes
        head = damaged_header(bytearray(file.read(512)), 0, SIZE, b"%011o\0" % (2 << 30))
        file.seek(0)
        file.write(head)
        file.truncate(2 << 30 | 2048)
    assert list_members(path).names == ("0.png",)
    with pytest.raises(PictureError, match="allowed in a container"):
        read_header(path / "0.png")


def test_random_access_reads_the_headers_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "a.tar", *(member(f"{i}.png", png(i)) for i in range(20)))
    walks = []
    monkeypatch.setattr(containers, "read_tar", lambda p, read=containers.read_tar: walks.append(p) or read(p))
    for i in (17, 3, 9, 3):
        assert file_sha256(path / f"{i}.png") == hashlib.sha256(png(i)).hexdigest()
    assert len(walks) == 1
    write_tar(path, *(member(f"{i}.png", png(i + 1)) for i in range(21)))  # a changed tar is read again
    assert read_file(path / "3.png") == png(4)
    assert len(walks) == 2


def test_a_folder_may_be_called_like_a_container(tmp_path: Path) -> None:
    (tmp_path / "a.tar").mkdir()
    (tmp_path / "a.tar" / "0.png").write_bytes(png(1))
    assert [str(f) for f in walk_with_containers(tmp_path, (".png",)).files] == ["a.tar/0.png"]
    assert read_header(tmp_path / "a.tar" / "0.png").width == 14


def sixteen_bits() -> bytes:
    import cv2

    codes = np.random.default_rng(3).integers(0, 65536, (9, 14, 3), np.uint16)
    return bytes(cv2.imencode(".png", codes)[1])


def turned_jpeg() -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "CC0, somebody"
    codes = np.random.default_rng(4).integers(0, 256, (9, 14, 3), np.uint8)
    Image.fromarray(codes).save(file, "jpeg", exif=exif)
    return file.getvalue()


def jpeg_2000() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (9, 14, 3), np.uint8)).save(file, "jpeg2000")
    return file.getvalue()


def radiance() -> bytes:
    import cv2

    return bytes(cv2.imencode(".hdr", np.random.default_rng(5).random((9, 14, 3), np.float32))[1])


@pytest.mark.parametrize("make", [lambda: png(1), sixteen_bits, turned_jpeg, jpeg_2000, radiance])
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_member_is_decoded_like_a_file(tmp_path: Path, make: Callable[[], bytes], kind: str) -> None:
    data = make()
    (tmp_path / "picture").write_bytes(data)
    if kind == "tar":
        inside = write_tar(tmp_path / "a.tar", member("other", b"?"), member("picture", data)) / "picture"
    else:
        inside = write_parquet(tmp_path / "a.parquet", [b"?", data]) / "1"
    assert read_header(inside) == read_header(tmp_path / "picture")
    frame, expected = bs.read_frame(inside), bs.read_frame(tmp_path / "picture")
    np.testing.assert_array_equal(frame.image, expected.image)
    assert (frame.license, frame.encoding) == (expected.license, expected.encoding)


def write_parquet(
    path: Path, values: list[bytes | None], *, struct: bool = True, group: int = 2, **more: list[str]
) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())]) if struct else arrow.binary()
    images = [{"bytes": v, "path": f"{i}.png"} for i, v in enumerate(values)] if struct else values
    table = {"image": arrow.array(images, kind), **{name: arrow.array(texts) for name, texts in more.items()}}
    parquet.write_table(arrow.table(table), path, row_group_size=group)
    return path


@pytest.mark.parametrize("struct", [True, False])
def test_rows_of_parquet(tmp_path: Path, struct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [png(0), None, png(2), png(3), png(4)]
    path = write_parquet(tmp_path / "a.parquet", values, struct=struct, caption=["a", "b", "c", "d", "e"])
    assert list_members(path).names == ("0", "1", "2", "3", "4")
    groups = []
    read = containers.read_group
    monkeypatch.setattr(containers, "read_group", lambda p, c, group: groups.append(group) or read(p, c, group))
    for row in (4, 2, 3, 0):
        assert read_file(path / str(row)) == values[row]
        assert file_sha256(path / str(row)) == hashlib.sha256(values[row] or b"").hexdigest()
    assert groups == [2, 1, 0]
    with pytest.raises(PictureError, match="holds no picture"):
        read_header(path / "1")
    for name in ("5", "-1", "01", "1e0", "²", "0.png", "9" * 5000):
        assert not exists(path / name)


def test_row_groups_are_kept_within_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [os.urandom(1000) for _ in range(20)]
    path = write_parquet(tmp_path / "a.parquet", list(values), group=2)
    kept = Kept(5000, containers._group_bytes)
    monkeypatch.setattr(containers, "_GROUPS", kept)
    for row in range(20):
        assert read_file(path / str(row)) == values[row]
    assert kept._used == 4000 == sum(containers._group_bytes(v) for v in kept._values.values())
    monkeypatch.setattr(parquet_rows, "LARGEST_GROUP_BYTES", 1500)
    monkeypatch.setattr(containers, "_GROUPS", Kept(5000, containers._group_bytes))
    with pytest.raises(PictureError, match="row group 3"):
        read_file(path / "6")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[: len(d) // 2],
        lambda d: b"PAR1" + bytes(50),
        lambda d: b"",
        lambda d: d[:-8] + b"\xff\xff\xff\x7fPAR1",
    ],
)
def test_damaged_parquet(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png(0)])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(PictureError, match=r"is damaged, truncated or no Parquet file|is empty"):
        list_members(path)


def test_damaged_pages_of_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [os.urandom(5000)])
    whole = path.read_bytes()
    for at in (4, 5, 9, 20):
        path.write_bytes(whole[:at] + bytes(60) + whole[at + 60 :])
        with pytest.raises(PictureError, match=r"damaged|row group"):
            read_file(path / "0")


def test_small_files_that_state_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"image": arrow.nulls(5_000_000, arrow.binary())}), tmp_path / "rows.parquet")
    with pytest.raises(PictureError, match="states 5,000,000 rows"):
        list_members(tmp_path / "rows.parquet")
    # One value of a megabyte, 2000 times: two gigabytes.
    values = arrow.DictionaryArray.from_arrays(arrow.array([0] * 2000), arrow.array([bytes(1_000_000)], arrow.binary()))
    parquet.write_table(arrow.table({"image": values}), tmp_path / "repeated.parquet", store_schema=False)
    assert (tmp_path / "repeated.parquet").stat().st_size < 100_000
    monkeypatch.setattr(parquet_rows, "LARGEST_GROUP_BYTES", 100_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match="GB of pictures in row group 0"):
        read_file(tmp_path / "repeated.parquet" / "1999")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3e5  # KiB


def test_columns_of_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for columns, words in (
        ({"a": [b"1"], "b": [b"2"]}, "several columns of pictures ('a', 'b')"),
        ({"caption": ["x"]}, "no column of pictures"),
    ):
        path = tmp_path / f"{len(columns)}.parquet"
        parquet.write_table(arrow.table(columns), path)
        with pytest.raises(PictureError) as caught:
            list_members(path)
        assert words in str(caught.value)
    path = write_parquet(tmp_path / "c.parquet", [b"1", b"2", b"3"], license=["CC0", "", "MIT"], thumb=["x", "y", "z"])
    assert [containers.columns_of(path / str(i), ("license", "author")) for i in range(3)] == [
        {"license": "CC0"}, {}, {"license": "MIT"},
    ]  # fmt: skip


def test_open_file_closes_nothing_early(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", member("0.png", png(1)))
    with open_file(path / "0.png") as file, open_file(path) as whole:
        assert file.read() == png(1)
        assert whole.read(5) == b"0.png"
    assert read_pixels(path / "0.png").shape == (9, 14, 3)
