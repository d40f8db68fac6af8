"""Real photographs: our blur against what a camera did, and what a published network can restore from it.

Run with ``BLURSYNTH_REAL_DATA=folder python benchmarks/real_data.py``. The same code as the tests in
``tests/real_data``, over more pictures; takes five to ten minutes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from measure import machine, table, version

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "real_data"))

import gopro_average
import gopro_shake
import photographs
import restoration

SIZE_PX = 191  # the middle of the pictures that are restored


def main() -> str:
    """The section of BENCHMARKS.md; only a note where there is no real data."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    head = "## Real photographs\n\n"
    if not folder:
        return head + "Not measured: the environment variable `BLURSYNTH_REAL_DATA` names no folder."
    return (
        head
        + f"{machine()}; {version('scipy')}, {version('scikit-image')}.\n\n"
        + "\n\n".join((shakes(Path(folder)), averages(Path(folder)), restorations(Path(folder))))
    )


def shakes(folder: Path) -> str:
    """Our blur of a sharp photograph against the photograph that was blurred by the camera."""
    psf = photographs.kernels(folder)
    known = {picture: photographs.sharp(folder, picture) for picture in photographs.PICTURES}
    real = {(p, s): photographs.photograph(folder, p, s) for p in photographs.PICTURES for s in photographs.SHAKES}
    found = {
        (p, s): photographs.match(known[p], photo, psf[s - 1], photographs.SIZES_PX[s - 1])
        for (p, s), photo in real.items()
    }
    rows, pooled = [], []
    for (p, s), match in found.items():
        other = photographs.register(photographs.convolved(known[p], found[3 - p, s].kernel), real[p, s])
        pooled.append((match.ours.right, match.own, other.right))
        dy, dx = match.ours.shift_px
        rows.append(
            [
                f"picture {p}, shake {s}",
                f"{dy:.2f}, {dx:.2f}",
                *(f"{value:.3f}" for value in pooled[-1]),
                f"{match.ratio:.3f}",
                f"{match.ours.right / other.right:.3f}",
            ]
        )
    ours, own, carried = np.sqrt(np.mean(np.square(pooled), axis=0))
    rows.append(
        ["all", "", f"{ours:.3f}", f"{own:.3f}", f"{carried:.3f}", f"{ours / own:.3f}", f"{ours / carried:.3f}"]
    )
    header = ["Levin et al. 2009", "shift (px)", "ours", "fitted here", "fitted on the other", "ratio", "ratio"]
    within = sum(match.ratio <= 1.05 for match in found.values())
    return (
        "RMS difference from the real photograph in codes of 255, on the right half. Ours: a sharp photograph blurred "
        "with the measured kernel; shift, gain and offset fitted on the left half. Fitted here: the least-squares "
        "kernel of the left half of this photograph (169 to 729 free numbers). Fitted on the other: the least-squares "
        "kernel of the other photograph of the same shake, again with shift, gain and offset. "
        f"{within} of {len(found)} are within 1.05 of the first; no kernel carried from one photograph to the other "
        "explains it much better than ours, so the shakes differ between the pictures.\n\n" + table(header, rows)
    )


def averages(folder: Path) -> str:
    """Means of frames along a fitted path, and what stands beside them, against a photograph of a shaken camera."""
    rows, apart = [], []
    for blurred, power in gopro_shake.FILES.items():
        for half, other in (("left", "right"), ("right", "left")):
            found = gopro_average.explain(folder, blurred, half)
            columns = (
                found.identity,
                found.continuous,
                *found.frames.values(),
                found.uniform,
                found.uniform_frames,
                found.other_curve,
            )
            fitted = [getattr(c, half) for c in (found.continuous, *found.frames.values(), found.other_curve)]
            apart.append(fitted[0] - np.array(fitted[1:]))
            name = f"{blurred} (gamma {power:g}), fitted on the {half}"
            rows.append([name, *(f"{getattr(c, half):.2f} / {getattr(c, other):.2f}" for c in columns)])
    worst = np.max(apart, axis=0)
    counts = [f"mean of {n} frames" for n in gopro_average.FRAMES]
    header = ["Flower shop of Nah et al. 2017", "sharp frame", "continuous exposure", *counts]
    return (
        "PSNR in dB of the codes of a photograph that is a mean of successive frames of a hand-held camera, on the "
        "half that the camera's path was fitted to / on the other half. From the sharp frame: a continuous exposure "
        "along the path (pitch, yaw, roll and a step ahead, five poses); means of frames at equal times along it, as "
        "GoPro's set is made of 7 to 13; with the point spread of the picture's middle everywhere, as the kind "
        "`frame_average` has it, continuous and of 11 frames; and a path fitted, and light blurred, with the other "
        "response curve (gamma 2.2 for 1, and 1 for 2.2). Where the path was fitted, "
        f"{gopro_average.FRAMES[-1]} frames cost up to {worst[-2]:.2f} dB against a continuous exposure, "
        f"{gopro_average.FRAMES[0]} frames up to {worst[0]:.2f}, the other curve up to {worst[-1]:.2f}.\n\n"
        + table([*header, "one point spread", "its 11 frames", "other curve"], rows)
    )


def restorations(folder: Path) -> str:
    """PSNR of restorations of what we blurred, of what SciPy blurred, and with wrong kernels."""
    from fourier_deconvolution import FourierDeconvolution

    network = FourierDeconvolution(folder)
    psf = photographs.kernels(folder)
    kodak = sorted((folder / "photos/kodak24").glob("*.png"))
    rows, scores = [], []
    for shake, kernel in zip(photographs.SHAKES, psf, strict=True):
        for path in (folder / f"blur/levin09/gt/im{(shake - 1) % 4 + 1}.png", kodak[shake - 1]):
            sharp = _middle(photographs.gray(path))
            ours = restoration.by_blursynth(sharp, kernel, 100 + shake)
            theirs = restoration.by_scipy(sharp, kernel, 200 + shake)
            wrong = (
                ours.kernel[::-1, ::-1],
                restoration.moved(ours.kernel, 1, 0),
                restoration.moved(ours.kernel, 0, 1),
            )
            scores.append(
                [
                    restoration.psnr(ours.blurred, ours.sharp),
                    ours.score(network),
                    theirs.score(network),
                    *(ours.score(network, other) for other in wrong),
                    ours.score(restoration.richardson_lucy),
                    theirs.score(restoration.richardson_lucy),
                ]
            )
            rows.append([f"shake {shake}, {path.stem}", *(f"{value:.2f}" for value in scores[-1])])
    mean = np.mean(scores, axis=0)
    rows.append(["mean", *(f"{value:.2f}" for value in mean)])
    header = ["1 % noise, unknown borders", "blurred", "network", "of SciPy's", "flipped", "1 px down", "1 px right"]
    return (
        "PSNR in dB of restorations with the known kernel: by the Fourier deconvolution network with its published "
        "weights (Kruse et al. 2017), of what we blurred and of what SciPy and NumPy blurred (other noise of the same "
        "strength); with our kernel flipped or shifted; and by Richardson-Lucy (20 steps) of both. Sharp pictures: "
        f"Levin's four and eight of Kodak's in gray, the middle {SIZE_PX} x {SIZE_PX} px, each with one of Levin's "
        "kernels.\n\n" + table([*header, "Richardson-Lucy", "of SciPy's"], rows)
    )


def _middle(picture: np.ndarray) -> np.ndarray:
    top, left = ((length - SIZE_PX) // 2 for length in picture.shape)
    return picture[top : top + SIZE_PX, left : left + SIZE_PX]


if __name__ == "__main__":
    print(main())
