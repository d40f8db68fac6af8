"""Other people's blurs against the laws of blur, written to docs/peers.md: ``python benchmarks/laws_of_peers.py``.

With names of packages it prints what these break, and writes nothing. A law that a peer breaks is held against the
findings below, each of which was verified with a few lines that use nothing but the package and numpy. These lines run
too, and their output is part of the page. A broken law that no finding explains is listed as not verified.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Pictures are tiny: threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from measure import version
from peers import PACKAGES, Peer

from blursynth.testing import laws
from blursynth.testing.laws import Result
from blursynth.testing.laws.law import describe

PAGE = Path(__file__).resolve().parents[1] / "docs" / "peers.md"
SIGNS = {"kept": "kept", "violated": "**broken**", "failed": "*error*", "exempt": "not claimed", "not applicable": ""}
FAILED = ("violated", "failed")
BESIDE = {"albumentations": ("albucore", "opencv-python-headless"), "imagecorruptions": ("scikit-image",)}
"""What a package computes with, where this is of weight."""
PROFILE = laws.Profile(examples=25, seconds=2.0)


@dataclass(frozen=True)
class Finding:
    """What was found out about broken laws by hand.

    Parameters
    ----------
    title
        In one sentence.
    package
        On PyPI.
    words
        The cause, and what would fix it.
    code
        Lines that show it without this library.
    peers, laws
        What names of peers begin with, and the laws that it explains. Without laws it is no broken law, but good to
        know.
    """

    title: str
    package: str
    words: str
    code: str
    peers: tuple[str, ...] = ()
    laws: tuple[str, ...] = field(default=())

    def explains(self, peer: Peer, result: Result) -> bool:
        """This result is one that the finding is about."""
        named = any(peer.name.startswith(start) for start in self.peers)
        return self.package == peer.package and named and result.law.name in self.laws


FINDINGS = (
    Finding(
        "`MotionBlur` draws a 45 degree line as ↘, where its documentation says ↗",
        "albumentations",
        "`create_motion_kernel` takes y upward (`dy = sin(angle)`), and rows go downward. Angles turn clockwise, where "
        "the documentation says counter-clockwise. With `dy = -sin(angle)` the law holds.",
        """import albumentations as A
import numpy as np
dot = np.zeros((9, 9, 3), np.float32); dot[4, 4] = 1
blur = A.MotionBlur(blur_limit=(5, 5), angle_range=(45, 45), direction_range=(0, 0), allow_shifted=False, p=1)
print(np.argwhere(blur(image=dot)["image"][..., 0] > 0).tolist())  # row, column: rows rise to the right for ↗""",
        ("MotionBlur(9, angle 45",),
        ("impulse_response",),
    ),
    Finding(
        "`MotionBlur` with direction 1 and angle 0 smears a point to the left, where its documentation says →",
        "albumentations",
        "The kernel extends to the right, and `cv2.filter2D` correlates: light goes the opposite way. OpenCV advises "
        "to flip the kernel. With this the law holds.",
        """import albumentations as A
import numpy as np
dot = np.zeros((9, 9, 3), np.float32); dot[4, 4] = 1
blur = A.MotionBlur(blur_limit=(5, 5), angle_range=(0, 0), direction_range=(1, 1), allow_shifted=False, p=1)
print(np.argwhere(blur(image=dot)["image"][..., 0] > 0).tolist())  # row, column: the point is at [4, 4]""",
        ("MotionBlur(9, angle 0",),
        ("impulse_response",),
    ),
    Finding(
        "`Defocus` with a radius of 8 or more makes pictures brighter by about 1 %",
        "albumentations",
        "The disk touches the edge of its array (side `2 max(8, radius) + 1`), and is smoothed with "
        "`cv2.GaussianBlur`, whose reflected border adds light there, after it was normalized. Padding the disk by the "
        "width of the smoothing, or dividing by the sum afterwards, fixes it. 10 is the top of the default range.",
        """import albumentations as A
import numpy as np
gray = np.full((64, 64, 3), 0.5, np.float32)
for radius in (3, 8, 10):
    blur = A.Defocus(radius=(radius, radius), alias_blur=(0.5, 0.5), p=1)
    print(radius, blur(image=gray)["image"][32, 32, 0])""",
        ("Defocus(radius 10",),
        ("constants", "flux", "value_range", "linearity", "saturation"),
    ),
    Finding(
        "`GaussianBlur` with sigma 0 makes black pictures, or NaN",
        "albumentations",
        "`create_gaussian_kernel_1d` divides by sigma. The documentation says that sigma `Must be more or equal than "
        "0`, and a single number means a range that begins at 0. A kernel of one weight 1 for sigma 0 fixes it.",
        """import albumentations as A
import numpy as np
gray = np.full((9, 9, 3), 100, np.uint8)
blur = A.GaussianBlur(blur_limit=0, sigma_limit=(0, 0), p=1)
print(blur(image=gray)["image"].max(), blur(image=gray / np.float32(255))["image"].max())""",
        ("GaussianBlur",),
        ("identity_limit",),
    ),
    Finding(
        "`ZoomBlur` zooms about a point off the center: pictures move by up to half a pixel",
        "albumentations",
        "`central_zoom` crops a whole number of pixels, and where an odd number is cut off, one side loses one more. "
        "The documentation says `a smooth transition from the center outward`. An affine warp about the center fixes "
        "it.",
        """import albumentations as A
import numpy as np
blur = A.ZoomBlur(max_factor=(1.2, 1.2), step_factor=(0.05, 0.05), p=1)
ramp = np.tile((np.arange(64, dtype=np.float32) / 64)[None, :, None], (64, 1, 3))
turned = blur(image=ramp[:, ::-1].copy())["image"][:, ::-1]
print("apart in px:", (blur(image=ramp)["image"] - turned)[32, 32, 0] * 64)""",
        ("ZoomBlur",),
        ("mirrors",),
    ),
    Finding(
        "`GaussianBlur` does not match Pillow's exactly, as its documentation says",
        "albumentations",
        "Pillow's is a sequence of box filters. For blur this is no fault: a Gaussian keeps more laws than boxes do.",
        """import albumentations as A
import numpy as np
from PIL import Image, ImageFilter
edge = np.zeros((40, 40, 3), np.uint8); edge[:, 20:] = 255
ours = A.GaussianBlur(blur_limit=0, sigma_limit=(2, 2), p=1)(image=edge)["image"]
pillow = np.asarray(Image.fromarray(edge).filter(ImageFilter.GaussianBlur(2)))
print("codes apart:", np.abs(ours.astype(int) - pillow).max())""",
    ),
    Finding(
        "`corrupt` makes blurred pictures darker by up to a code",
        "imagecorruptions",
        "Results become 8-bit values by `np.uint8(x)`, which truncates: half a code of the mean light is lost, and a "
        "constant picture may lose a whole one. `np.uint8(np.rint(x))` fixes it, but published results depend on it.",
        """import numpy as np
from imagecorruptions import corrupt
gray = np.full((64, 64, 3), 100, np.uint8)
for name, severity in (("defocus_blur", 3), ("motion_blur", 3)):
    print(name, corrupt(gray, severity, name).max())""",
        ("defocus_blur", "motion_blur", "zoom_blur"),
        ("constants", "value_range", "linearity"),
    ),
    Finding(
        "`defocus_blur` of severity 4 and 5 makes pictures brighter",
        "imagecorruptions",
        "As albumentations' `Defocus`, which has it from here: the smoothed disk is not normalized.",
        """import numpy as np
from imagecorruptions.corruptions import disk
for radius, alias_blur in ((3, 0.1), (6, 0.5), (8, 0.5), (10, 0.5)):
    print(radius, disk(radius, alias_blur).sum())""",
        ("defocus_blur, severity 5",),
        ("constants", "value_range", "flux"),
    ),
    Finding(
        "`motion_blur` of severity 5 makes pictures of 32 px darker",
        "imagecorruptions",
        "Where the motion is longer than the picture, the loop ends early (`simulated motion exceeded image borders`), "
        "and the weights that are left do not add up to 1. `corrupt` takes pictures from 32 px on; the motion is up to "
        "40 px long.",
        """import numpy as np
from imagecorruptions import corrupt
for side in (32, 64):
    np.random.seed(1)
    print(side, corrupt(np.full((side, side, 3), 200, np.uint8), 5, "motion_blur").max())""",
        ("motion_blur, severity 5",),
        ("constants", "value_range"),
    ),
    Finding(
        "`zoom_blur` zooms about a point off the center",
        "imagecorruptions",
        "`clipped_zoom` crops as albumentations' `central_zoom`, and then takes the upper left of what it enlarged.",
        """import numpy as np
from imagecorruptions.corruptions import zoom_blur
ramp = np.tile((np.arange(64, dtype=np.float32) * 4)[None, :, None], (64, 1, 3))
turned = zoom_blur(ramp[:, ::-1].copy(), 3)[:, ::-1]
print("apart in px:", (zoom_blur(ramp, 3) - turned)[32, 32, 0] / 4)""",
        ("zoom_blur",),
        ("mirrors",),
    ),
    Finding(
        "`gaussian_blur` and `glass_blur` raise an error with scikit-image 0.23 or later",
        "imagecorruptions",
        "They call `skimage.filters.gaussian` with `multichannel`, which became `channel_axis`.",
        """import numpy as np
from imagecorruptions import corrupt
try:
    corrupt(np.zeros((64, 64, 3), np.uint8), 3, "gaussian_blur")
except TypeError as error:
    print(error)""",
        ("gaussian_blur",),
        tuple(law.name for law in laws.ALL),
    ),
    Finding(
        "`motion_blur` moves pictures, by design",
        "imagecorruptions",
        "Its weights are half a Gaussian, on one side of the pixel. Whoever compares a blurred picture with its sharp "
        "one, or trains a network on the two, has them displaced by the centroid.",
        """import numpy as np
from imagecorruptions.corruptions import getMotionBlurKernel
for radius, sigma in ((10, 3), (15, 8), (20, 15)):
    weights = getMotionBlurKernel(2 * radius + 1, sigma)
    print("moves by px:", round((weights * np.arange(len(weights))).sum(), 2))""",
    ),
    Finding(
        "`convolve` of 8-bit pictures truncates: a constant picture becomes one code darker",
        "scipy",
        "Sums are cast to the type of the picture by cutting off the fraction, and the weights of a normalized kernel "
        "add up to 1 less a rounding error. The documentation of `convolve` does not say so. With `output=float` the "
        "law holds.",
        """import numpy as np
from scipy.ndimage import convolve
line = np.exp(-np.arange(-3, 4) ** 2 / (2 * 0.8**2))
bell = np.outer(line, line) / line.sum() ** 2
gray = np.full((9, 9), 36, np.uint8)
print(abs(bell.sum() - 1) < 1e-15, convolve(gray, bell)[4, 4], convolve(gray, bell, output=float)[4, 4])""",
        ("ndimage.convolve(x, bell), uint8", "ndimage.convolve(x, hook), uint8"),
        ("constants", "value_range", "dtypes", "impulse_response", "linearity", "flux", "commutation"),
    ),
    Finding(
        "`gaussian_filter` of 8-bit pictures loses light, as documented in part",
        "scipy",
        "Values are truncated after each of the two passes. The documentation says that results `may be imprecise`; it "
        "does not say that they are too dark. `gaussian_filter(x, sigma, output=float)` has no such loss.",
        """import numpy as np
from scipy.ndimage import gaussian_filter
dot = np.zeros((41, 41), np.uint8); dot[20, 20] = 200
print(gaussian_filter(dot, 1.5).sum(), gaussian_filter(dot, 1.5, output=float).sum().round(3))""",
    ),
    Finding(
        "`GaussianBlur` of 8-bit pictures differs from that of float32 by 2 to 3 codes",
        "opencv-python-headless",
        "It computes with weights of 8 fractional bits, by design. That `ksize=(0, 0)` means 3 sigma for 8-bit "
        "pictures and 4 sigma for others makes no difference: the weights beyond 3 sigma are 0 in 8 bits, "
        "and 13 and 17 px give the same bits.",
        """import cv2
import numpy as np
x = np.uint8([[252, 0]])
print(cv2.GaussianBlur(x, (17, 17), 2), cv2.GaussianBlur(x.astype(np.float32), (17, 17), 2).round(2))
noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
for image in (noise, noise.astype(np.float32)):
    chosen = cv2.GaussianBlur(image, (0, 0), 2)
    print(image.dtype, [bool(np.array_equal(chosen, cv2.GaussianBlur(image, (k, k), 2))) for k in (13, 17)])""",
    ),
)


def examined(peer: Peer) -> list[Result]:
    """All laws, without the measurement of their power, which takes as long again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(laws.examine(peer.function, peer.claims, power=False, profile=PROFILE))


def built(package: str) -> list[Peer] | str:
    """Its peers, or why it cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(PACKAGES[package]())
    except Exception as error:  # of whatever its modules do
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def shown(code: str) -> str:
    """What the lines print in a program of their own."""
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip() or found.stderr.strip().splitlines()[-1]


def matrix(results: Sequence[tuple[Peer, list[Result]]]) -> list[str]:
    """For each package a table of laws by functions."""
    lines: list[str] = []
    for package in dict.fromkeys(peer.package for peer, _ in results):
        rows = [(peer, found) for peer, found in results if peer.package == package]
        named = [law.name for law in laws.ALL]
        used = [n for n in named if any(r.law.name == n and r.status != "not applicable" for _, f in rows for r in f)]
        heading = ", ".join(version(name) for name in (package, *BESIDE.get(package, ())))
        lines += [f"### {heading}", "", "| | " + " | ".join(used) + " |", "|:--" * (len(used) + 1) + "|"]
        for peer, found in rows:
            status = {r.law.name: r.status for r in found}
            lines.append(f"| `{peer.name}` | " + " | ".join(SIGNS[status[n]] for n in used) + " |")
        lines.append("")
        for peer, _ in rows:
            said = [peer.note] if peer.note else []
            reasons = dict.fromkeys(peer.claims.exempt.values())
            for reason in reasons:
                named = [name for name, why in peer.claims.exempt.items() if why == reason]
                said.append(f"Not claimed: {', '.join(named)}: {reason}.")
            if said:
                lines.append(f"- `{peer.name}`: {' '.join(said)}")
        lines.append("")
    return lines


def case_of(peer: Peer, result: Result) -> str:
    """A broken law in one line."""
    found = result.measurement
    inputs = "; ".join(f"{name} = {describe(value)}" for name, value in (result.case or {}).items())
    if found is None:
        return f"- `{peer.name}`, {result.law.name}: {result.why}"
    deviation = f"{found.deviation:.3g} {found.unit}, allowed {found.allowed:.2g}"
    return f"- `{peer.name}`, {result.law.name}: {deviation}. Smallest input: {inputs}"


def findings(results: Sequence[tuple[Peer, list[Result]]]) -> list[str]:
    """Each with what the laws measured, and the lines that show it."""
    broken = [(peer, r) for peer, found in results for r in found if r.status in FAILED]
    lines: list[str] = []
    for heading, of_laws in (("Broken laws", True), ("Good to know", False)):
        lines += [f"## {heading}", ""]
        for one in FINDINGS:
            mine = [(peer, r) for peer, r in broken if one.explains(peer, r)]
            if bool(one.laws) is not of_laws or (of_laws and not mine):
                continue
            errors = all(r.status == "failed" for _, r in mine) and bool(mine)
            lines += [f"### {one.package}: {one.title}", "", one.words, ""]
            lines += [case_of(peer, r) for peer, r in (mine[:1] if errors else mine)]
            lines += [""] if mine else []
            lines += ["```python", one.code, "```", "```text", shown(one.code), "```", ""]
    rest = [(p, r) for p, r in broken if not any(one.explains(p, r) for one in FINDINGS)]
    if rest:
        lines += ["## Not verified", "", "Laws that nobody has held against these functions by hand yet:", ""]
        lines += [case_of(peer, r) for peer, r in rest]
    return lines


HEAD = """# Laws of other libraries

Blurs of packages on PyPI, held against [the laws of blur](laws.md) by `python benchmarks/laws_of_peers.py` on {date},
with numpy {numpy}. A cell says *kept* where {examples} examples found no violation, **broken** where one did, *not
claimed* where the library's documentation or its design says otherwise (the sentence is quoted below the table), and
nothing where the law does not apply. 8-bit functions may be off by half a code in each call, where no other accuracy
is named. The cause of every broken law is shown by lines that use nothing but the library and numpy; they stand below
with what they print.
"""


def page(results: Sequence[tuple[Peer, list[Result]]], missing: dict[str, str]) -> str:
    """docs/peers.md."""
    tried = sorted(r.examples for _, found in results for r in found if r.status == "kept")
    head = HEAD.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        numpy=version("numpy").split()[-1],
        examples=f"{tried[0]} to {tried[-1]} (median {tried[len(tried) // 2]})",
    )
    count = {status: sum(r.status == status for _, f in results for r in f) for status in SIGNS}
    summary = (
        f"{len(results)} functions: {count['kept']} times a law is kept, {count['violated']} times broken, "
        f"{count['failed']} times an error, {count['exempt']} times not claimed."
    )
    absent = [f"- {version(package)}: {why}" for package, why in missing.items()]
    declared = (
        "torchvision's compiled operators do not load next to torch for the CPU; they are declared before it is "
        "imported, and its Gaussian needs none of them."
    )
    parts = [head, summary, ""]
    if absent:
        parts += ["Not importable here:", "", *absent, ""]
    parts += [declared, "", *findings(results), "", "## Tables", "", *matrix(results)]
    return "\n".join(parts).rstrip() + "\n"


def main(names: Iterable[str]) -> None:
    """Examine, print, and write the page where all packages were examined."""
    chosen = tuple(names) or tuple(PACKAGES)
    results: list[tuple[Peer, list[Result]]] = []
    missing: dict[str, str] = {}
    for package in chosen:
        made = built(package)
        if isinstance(made, str):
            missing[package] = made
            print(f"{package}: not importable: {made}", flush=True)
            continue
        for peer in made:
            began = time.perf_counter()
            found = examined(peer)
            results.append((peer, found))
            broken = [r for r in found if r.status in FAILED]
            kept = sum(r.status == "kept" for r in found)
            seconds = time.perf_counter() - began
            print(f"{package} {peer.name}: {kept} kept, {len(broken)} broken, {seconds:.0f} s", flush=True)
            for result in broken:
                known = any(one.explains(peer, result) for one in FINDINGS)
                print(case_of(peer, result) + ("" if known else "  NOT VERIFIED"), flush=True)
    if chosen == tuple(PACKAGES):
        PAGE.write_text(page(results, missing), "utf-8")
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main(sys.argv[1:])
