"""Arrays of numbers from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blursynth.errors import PictureError
from blursynth.io.arrays import read_arrays


def test_arrays_of_every_format(tmp_path: Path) -> None:
    from scipy.io import savemat

    kernel = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", kernel)
    np.savez(tmp_path / "a.npz", one=kernel, two=kernel * 2)
    np.savetxt(tmp_path / "a.csv", kernel, delimiter=",")
    np.savetxt(tmp_path / "a.txt", kernel)
    cells = np.empty(2, object)
    cells[:] = [kernel, kernel[:1]]
    savemat(tmp_path / "a.mat", {"kernels": cells})
    Image.fromarray(np.full((48, 64), 9, np.uint8)).save(tmp_path / "a.png")
    for name, shapes in {
        "a.npy": [(2, 3)], "a.npz": [(2, 3), (2, 3)], "a.csv": [(2, 3)], "a.txt": [(2, 3)],
        "a.mat": [(2, 3), (1, 3)], "a.png": [(48, 64)],
    }.items():  # fmt: skip
        arrays = read_arrays(tmp_path / name)
        assert [a.shape for a in arrays] == shapes, name
        assert all(a.dtype == np.float64 for a in arrays)
    assert np.array_equal(read_arrays(tmp_path / "a.mat")[0], kernel)


def test_matlab_73_files_are_turned(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    kernel = np.arange(6.0).reshape(2, 3)
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["kernel"] = kernel.T  # MATLAB stores columns first
    data = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(head + data[len(head) :])
    assert np.array_equal(read_arrays(tmp_path / "a.mat")[0], kernel)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"1,a\n", "cannot be read as an array of numbers (could not convert string 'a' to float64"),
        ("a.csv", b"time,x\n1,2\n", "Each line must hold numbers separated by commas; a heading begins with #."),
        ("a.txt", b"1, 2\n", "Each line must hold numbers separated by spaces; a heading begins with #."),
        ("a.csv", b"1,2\n3\n", "the number of columns changed from 2 to 1 at row 2"),
        ("a.csv", b"\n", "does not hold an array of numbers"),
        ("a.npy", b"text", "cannot be read as an array of numbers (it is not an array file)"),
        ("a.npz", b"text", "cannot be read as an array of numbers ("),
        ("a.mat", b"xx", "cannot be read as an array of numbers (Mat file appears to be truncated)"),
        ("a.foo", b"x", "unknown format '.foo'. Known: .npy"),
        ("a.png", b"text", "is not a picture that can be read"),
        ("b.npy", None, "there is no such file. Check the path."),
        ("", None, "is a folder, not a file."),
    ],
)
def test_bad_arrays(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_arrays(tmp_path / name)
    assert message in str(caught.value)
    assert "allow_pickle" not in str(caught.value)


def test_complex_arrays_and_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "complex.npy", np.eye(3) * 1j)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    for name in ("complex.npy", "objects.npy"):
        with pytest.raises(PictureError, match="cannot be read as an array of numbers"):
            read_arrays(tmp_path / name)
