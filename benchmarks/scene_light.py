"""Scene light: response curves against measured ones, decoding and highlights against true light, and their cost.

Run with ``BLURSYNTH_REAL_DATA=folder python benchmarks/run.py scene_light``. The same code as the tests in
``tests/real_data``; about a minute. Without the real data only the cost is measured.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from measure import best_of, machine, table, version

import blursynth as bs
from blursynth.backends import cpu
from blursynth.physics.response import Sigmoid

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "real_data"))

import light


def main() -> str:
    """The section of BENCHMARKS.md."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    head = f"## Light\n\n{machine()}; {version('scipy')}.\n\n"
    if not folder:
        return head + cost() + "\n\nThe rest needs the environment variable `BLURSYNTH_REAL_DATA`."
    parts = (families(Path(folder)), saturations(Path(folder)), decodings(Path(folder)), cost())
    return head + "\n\n".join(parts)


def families(folder: Path) -> str:
    """RMS error of each family over the 201 curves, and what the numbers of the chosen one are."""
    from scipy.stats import spearmanr

    x, values = light.curves(folder)
    rows = []
    for name, (_, free) in light.FAMILIES.items():
        found = [light.fit(x, value, name) for value in values]
        errors = np.array([error for _, error in found])
        rows.append(
            [name, str(free), *(f"{q:.4f}" for q in (np.median(errors), np.quantile(errors, 0.9), errors.max()))]
        )
    logs = np.array([numbers for numbers, _ in found])  # of the last, the richest
    numbers = np.column_stack([np.exp(logs[:, 0]), 1 / (1 + np.exp(-logs[:, 1])), logs[:, 2]])
    ranks = spearmanr(numbers)[0]
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    spread = [
        [name, *(f"{q:.2f}" for q in np.quantile(numbers[:, i], shares)), how]
        for i, (name, how) in enumerate(
            (
                ("exponent", "log_uniform = [0.45, 2.0]"),
                ("midtone", "truncated_normal = [0.59, 0.14, 0.05, 0.95]"),
                ("contrast", "truncated_normal = [0.06, 0.33, -0.95, 1]"),
            )
        )
    ]
    return (
        "RMS error of families of response curves, fitted to each of the 201 measured curves of the DoRF data base "
        "(Grossberg and Nayar 2003; 1,024 points, equal steps of light).\n\n"
        + table(["family", "free numbers", "median", "90 %", "largest"], rows)
        + f"\n\nThe numbers of the last over the data base. Rank correlations: exponent and midtone {ranks[0, 1]:.2f}, "
        f"exponent and contrast {ranks[0, 2]:.2f}, midtone and contrast {ranks[1, 2]:.2f}.\n\n"
        + table(["number", *(f"{s:.0%}" for s in shares), "drawn in recipes by"], spread)
    )


def saturations(folder: Path) -> str:
    """PSNR of blurred pictures of clipped sources against the blurred true light."""
    rows = []
    for name in light.PANORAMAS:
        for share in (0.005, 0.02, 0.1):
            found = light.saturation(folder, name, clipped=share)
            best = max(found.psnr_db.values())
            cells = [f"**{v:.1f}**" if v == best else f"{v:.1f}" for v in found.psnr_db.values()]
            rows.append([name, f"{found.clipped:.1%}", f"{found.peak:.0f}", *cells])
    return (
        "HDR panoramas, exposed such that a share of their pixels is clipped, saved as 8-bit sRGB, decoded, extended "
        "beyond white and blurred (random walk, 30 px), against the true light blurred alike; both clipped and coded "
        "with 8 bits at the end. PSNR in dB over the pixels that light of a clipped one reaches. Expansions begin at "
        ".95 unless said.\n\n" + table(["panorama", "clipped", "brightest", *light.METHODS], rows)
    )


def decodings(folder: Path) -> str:
    """An 8-bit photograph decoded, against the 16-bit linear one of the same scene."""
    rows = []
    for name, decode in (
        ("codes taken for light (gamma 1)", bs.kinds.GammaDecode(gamma=1.0)),
        ("gamma 1.8", bs.kinds.GammaDecode(gamma=1.8)),
        ("gamma 2.2", bs.kinds.GammaDecode()),
        ("sRGB", bs.kinds.Decode()),
        ("gamma 2.2 and contrast 1 (Unprocessing)", bs.kinds.GammaDecode(contrast=1.0)),
        ("sigmoid, its defaults", bs.kinds.SigmoidDecode()),
    ):
        found = light.decoding(folder, decode)
        rows.append([name, f"{found.correlation:.4f}", f"{found.residual:.4f}"])
    return (
        "An 8-bit photograph (imagecompression.info, flower_foveon) decoded in several ways, against the 16-bit linear "
        "gray file of the same scene: correlation, and RMS difference in shares of white after a gain and an "
        "offset.\n\n" + table(["decoded by", "correlation", "RMS difference"], rows)
    )


def cost() -> str:
    """ns per number of a picture of 1280 x 720, one thread."""
    image = np.random.default_rng(0).random((1, 3, 720, 1280)).astype(np.float32)
    curve = Sigmoid(0.84, 1.5, 0.1)
    decode, encode = curve.decode_table()[None], curve.encode_table()[None]
    frame = bs.Frame(image, "linear")
    work = (
        ("sRGB decode", lambda: cpu.srgb_decode(image)),
        ("response decode", lambda: cpu.response_decode(image, decode, threads=1)),
        ("sRGB encode, 8 bits", lambda: cpu.srgb_encode(image, levels=[255])),
        ("response encode, 8 bits", lambda: cpu.response_encode(image, encode, levels=[255], threads=1)),
        ("highlight offset", lambda: bs.kinds.HighlightOffset(offset=1.0)(frame)),
        ("highlight expansion", lambda: bs.kinds.HighlightExpansion(peak=3.0)(frame)),
        ("numpy.interp (float64)", lambda: np.interp(image, np.linspace(0, 1, decode.size), decode[0])),
    )
    rows = []
    for name, run in work:
        seconds = best_of(run)
        rows.append([name, f"{seconds * 1e3:.2f}", f"{seconds / image.size * 1e9:.2f}"])
    return "Cost on one thread, 3 x 720 x 1280 float32.\n\n" + table(["step", "ms", "ns per number"], rows)


if __name__ == "__main__":
    print(main())
