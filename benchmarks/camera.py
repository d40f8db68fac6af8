"""Calibrated cameras: what fitting recovers of them, and noise made for one against that of a real phone.

Run with ``BLURSYNTH_REAL_DATA=folder python benchmarks/camera.py``; without the folder the second part is a note. With
``--search`` the camera of the real pair is searched anew, which takes ten minutes. One thread.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
from measure import machine, table, version
from numpy.typing import NDArray

import blursynth as bs
from blursynth.physics.photon_transfer import PhotonTransfer, fit_photon_transfer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "real_data"))

import sidd

SEEDS = 60
SIZE_PX = 128


def shot(sensor: bs.kinds.Sensor, light: float, seed: int) -> NDArray[np.float32]:
    """A flat field, or a dark frame, as it would be written to a file."""
    frame = bs.Frame(np.full((1, 3, SIZE_PX, SIZE_PX), light, np.float32), bs.Encoding.LINEAR)
    return np.asarray(sensor.replace(seed=seed)(frame).image[0, 0])


def fitted(sensor: bs.kinds.Sensor, seed: int) -> PhotonTransfer:
    """Six dark frames and seven pairs of flat fields, fitted."""
    key = 1000 * seed
    darks = [shot(sensor, 0.0, key + i) for i in range(6)]
    levels = np.linspace(0.06, 0.9, 7)
    pairs = [(shot(sensor, x, key + 100 + 2 * i), shot(sensor, x, key + 101 + 2 * i)) for i, x in enumerate(levels)]
    return fit_photon_transfer(darks, pairs, bit_depth=sensor.bit_depth, mosaic=sensor.mosaic)


def recovered() -> str:
    """A table of cameras: how far fits lie off, and how often the 95 % intervals hold the truth."""
    rows, seconds = [], []
    for place, name in enumerate(bs.sensor_profile_names()):
        camera = bs.load_sensor_profile(name)
        off: dict[str, list[float]] = {"gain": [], "read noise": []}
        held = {"gain": 0, "read noise": 0, "black": 0}
        low, high = camera.gain_range_dn_per_e
        for trial in range(SEEDS):
            seed = 1000 * place + trial
            gain = low * (high / low) ** (trial / (SEEDS - 1))
            drawn = camera.draw(bs.Stream(seed, 0, "sensor"), gain_dn_per_e=gain)
            sensor = bs.kinds.Sensor(**drawn, seed=0)
            began = time.perf_counter()
            found = fitted(sensor, seed)
            seconds.append(time.perf_counter() - began)
            black = sensor.black_level_dn + np.mean(
                [sensor.red_offset_dn, sensor.green_red_offset_dn, sensor.green_blue_offset_dn, sensor.blue_offset_dn]
            )
            off["gain"].append(found.gain_dn_per_e.value / sensor.dn_per_electron - 1)
            off["read noise"].append(found.read_noise_e.value / sensor.read_noise_e - 1)
            held["gain"] += found.gain_dn_per_e.holds(sensor.dn_per_electron)
            held["read noise"] += found.read_noise_e.holds(sensor.read_noise_e)
            held["black"] += found.black_level_dn.holds(float(black))
        rows.append(
            [
                name,
                f"{low:.3g} to {high:.3g}",
                *(f"{100 * np.mean(v):+.2f} ± {100 * np.std(v):.2f} %" for v in off.values()),
                *(f"{100 * count / SEEDS:.0f} %" for count in held.values()),
            ]
        )
    header = ("camera", "DN per e-", "gain off by", "read noise off by", "gain held", "read noise held", "black held")
    chance = 100 * 2 * math.sqrt(0.95 * 0.05 / SEEDS)
    return (
        f"{SEEDS} calibrations of each camera over its range of gains, each from 6 dark frames and 7 pairs of flat "
        f"fields of {SIZE_PX} x {SIZE_PX} px that the library made. `held`: how often the 95 % interval holds it; "
        f"chance spreads that by ± {chance:.0f} % (2 sigma). One takes {min(seconds) * 1e3:.0f} ms with its frames.\n\n"
        + table(header, rows)
    )


def real(folder: Path, *, search: bool) -> str:
    """The noise of the SIDD pair against noise made for a camera."""
    pair = sidd.read(folder)
    one, other = sidd.halves(pair.clean.shape[:2])
    numbers = sidd.search(pair, one) if search else sidd.FITTED
    seeds = tuple(range(11, 27))
    found = {
        "fitted to the other half": sidd.report(pair, numbers, one, other, seeds),
        "on the half it was fitted to": sidd.report(pair, numbers, other, one, seeds),
    }
    rows = [[name, f"{r.divergence:.4f}", f"{r.limit:.4f}", f"{r.ratio:.2f}"] for name, r in found.items()]
    held = found["fitted to the other half"]
    lines = []
    for c, color in enumerate(("red", "green", "blue")):
        both = [" ".join(f"{v:+.3f}" for v in source[c].mean(axis=0)) for source in held.correlations]
        spread = [f"{source[c]:.1f}" for source in held.deviations]
        mean = [f"{source[c]:+.1f}" for source in held.means]
        lines.append([color, *both, *spread, *mean])
    off = np.abs(held.correlations[0] - held.correlations[1])
    setting = ", ".join(f"{name} {value:g}" for name, value in numbers.items())
    return "\n\n".join(
        (
            "**A real phone** (one SIDD pair, sRGB of 8 bits, 256 x 256 px, camera and ISO unknown). Fitted to one "
            f"half (blocks of a checkerboard), told of the other: camera `{sidd.CAMERA}`, {setting}; raw cut off at "
            "black, Malvar, sRGB, as in the set's own pipeline. KL: divergence of the histograms of the real residual "
            "from those of the made one, by color and clean intensity, in nats; the limit is that between the real "
            "halves, by which two samples of one distribution of this size differ. `of the limit` shall be at most 2.",
            table(("noise made", "KL", "limit", "of the limit"), rows),
            table(
                (
                    "color", "autocorrelation, lags 1 2 3: real", "made", "sd in codes: real", "made",
                    "mean in codes: real", "made",
                ),
                lines,
            ),
            "What is left: the pipeline of the set cuts off below black a second time, after the demosaic, which ours "
            "does not (in a trial that lowered the divergence by 6 %); its balance and matrix are guessed from the "
            "noise alone; and the clean picture is not free of noise. Without what each black level is off "
            "by the ratio is 2.1 when fitted so: real black levels wander, as ELD found. "
            f"The autocorrelation is off by {off.max():.3f} at most. Correlations of red-green, red-blue and "
            f"green-blue: real {' '.join(f'{v:.2f}' for v in held.colors[0])}, "
            f"made {' '.join(f'{v:.2f}' for v in held.colors[1])}.",
        )
    )  # fmt: skip


def main(*, search: bool = False) -> str:
    """The section of BENCHMARKS.md."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    note = "Noise against a real phone: not measured, `BLURSYNTH_REAL_DATA` names no folder."
    parts = [
        "## Calibrated cameras",
        f"{machine()}; {version('numba')}, {version('scipy')}; one thread.",
        recovered(),
        real(Path(folder), search=search) if folder else note,
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", action="store_true", help="search the camera of the real pair anew")
    print(main(search=parser.parse_args().search))
