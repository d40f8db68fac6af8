"""Triton kernels beyond what every operation is tried with: tiles, hand-made scenes, laws of the noise, a whole camera.

On a GPU if there is one, else in Triton's interpreter on tiny pictures.
"""

from __future__ import annotations

import importlib
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import ORIGINS, SEEDS
from cases import scene as random_scene
from cases import warps as random_warps
from scipy import stats

import blursynth as bs
from blursynth.backends import cpu, for_array, oracle
from blursynth.frame import Border
from blursynth.physics.color import srgb_codes
from blursynth.physics.development import camera_from_srgb
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.radiometry import SensorParameters
from blursynth.physics.scene import Scene
from blursynth.testing import pictures

torch = pytest.importorskip("torch", reason="the kernels take tensors of torch")
pytest.importorskip("triton", reason="the kernels are written in Triton")

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def taps(psf: Any) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(a) for a in (psf.start, psf.dy, psf.dx, psf.weight))


def close(got: Any, expected: np.ndarray, dtype: type) -> None:
    assert got.cpu().numpy().dtype == dtype
    assert got.shape == expected.shape
    assert np.abs(got.cpu().numpy() - expected).max() <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max())


@every_dtype
def test_srgb_codes(dtype: type, device: str) -> None:
    """Those of the definition, for any number of levels."""
    from blursynth.backends.torch.srgb_triton import srgb_encode

    image = np.random.default_rng(2).uniform(-0.2, 1.5, (2, 2, 5, 7)).astype(dtype)
    got = srgb_encode(torch.from_numpy(image).to(device), [255, 65535])
    for b, levels in enumerate((255, 65535)):
        assert np.array_equal(np.rint(got[b].cpu().numpy().astype(np.float64) * levels), srgb_codes(image[b], levels))


@pytest.mark.parametrize("border", [Border.REFLECT, Border.CONSTANT])
def test_slope_by_depth(border: Border, device: str) -> None:
    """As the kernel of the CPU, whose derivative is held against differences."""
    from blursynth.backends.torch.warp_mean_triton import warp_mean_depth

    rng = np.random.default_rng(5)
    warps = random_warps(rng, 2, height=4, times=3)
    image, back = (torch.from_numpy(rng.normal(size=(2, 1, 4, 5))) for _ in range(2))
    depth = torch.from_numpy(rng.uniform(0.2, 1.5, (2, 4, 5)))
    rest = (*(torch.from_numpy(a) for a in (warps.matrix, warps.shift, warps.first, warps.weight)), border.value)
    for_array(image)  # declares the operators
    expected = torch.ops.blursynth.warp_mean_depth(image, back, depth, *rest)
    got = warp_mean_depth(image.to(device), back.to(device), depth.to(device), *rest)
    close(got, expected.numpy(), np.float64)


def arguments(scene: Scene, border: Border) -> tuple[Any, ...]:
    """What the kernels take beside the picture."""
    whole = (scene.order, scene.kernel, scene.hidden)
    optional = (scene.front, scene.share, scene.pure, scene.missing, scene.slope, scene.part_center, scene.farthest)
    return (
        *(torch.from_numpy(a) for a in whole),
        *taps(scene.psf),
        torch.from_numpy(scene.part_weight),
        *(None if a is None else torch.from_numpy(a) for a in optional),
        *(torch.from_numpy(a) for a in (scene.means.at, scene.means.of, scene.means.weight)),
        scene.connected,
        border.value,
    )


def connected_matrix(scene: Scene, border: Border) -> tuple[np.ndarray, Counter[str]]:
    """Blur of the only picture of a connected scene as a matrix, straight from its definition; what happened in it."""
    (height, width), reach = scene.order.shape[1:], int(scene.psf.reach_px().max())
    pixels = height * width
    own, unit = np.arange(pixels).reshape(height, width), np.eye(pixels)
    order, kernel, hidden = (plane.ravel() for plane in (scene.order, scene.kernel, scene.hidden))
    listed = zip(scene.means.at, scene.means.of, scene.means.weight, strict=True)
    means = {int(p): weight @ unit[of] for p, of, weight in listed}

    def patches(p: int) -> list[tuple[int, int, float, np.ndarray]]:
        """Pixel with slice and kernel, 0 to 2 for visible, hidden or missing, how much of it, light as shares of pixels."""
        h = hidden[p]
        plain = [(p, 0, 1.0, unit[p]), *([(h, 1, 1.0, means.get(p, unit[h]))] if h >= 0 else [])]
        if scene.front is None:
            return plain
        assert scene.share is not None
        assert scene.pure is not None
        assert scene.missing is not None
        n, a, c, m = (plane.flat[p] for plane in (scene.front, scene.share, scene.pure, scene.missing))
        gone = [(m, 2, 1 - a if m == n else 1.0, np.zeros(pixels))] if m >= 0 else []
        if n < 0:
            return plain + gone
        color = unit[c] if a > 0 else np.zeros(pixels)
        # Both colors give way to what the pixel is beyond their mixture, each by its share.
        beyond = (unit[p] - a * color - (1 - a) * unit[h]) / (a**2 + (1 - a) ** 2)
        behind = means.get(p, unit[h] + (1 - a) * beyond)
        return [(n, 0, a, a * (color + a * beyond)), (h, 1, 1.0, behind), *gone]

    shown = np.pad(own, reach, {Border.REFLECT: "reflect", Border.CIRCULAR: "wrap"}.get(border, "edge"))
    lit = np.pad(np.ones_like(own), reach, constant_values=border != Border.CONSTANT)
    matrix, total, why = np.zeros((pixels, pixels)), np.zeros(pixels), Counter[str]()
    for part, weight in enumerate(scene.part_weight):
        # By slice and pixel: coverage by what is visible, by what is hidden, and by what is missing; and the light.
        amounts: defaultdict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(3))
        lights: defaultdict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros((3, pixels)))
        for i, j in np.ndindex(shown.shape):
            q = shown[i, j]
            visible = q if scene.front is None or scene.front.flat[q] < 0 else scene.front.flat[q]
            for s, kind, amount, light in patches(q):
                # What hides something is nearer than that.
                number = min(order[s], order[visible] - 1) if kind == 1 else order[s]
                stretch = 1.0
                if scene.slope is not None and scene.part_center is not None and kind < 2:
                    stretch += float(scene.slope[0].reshape(2, -1)[:, s] @ scene.part_center[part])
                    stretch = max(0.25, min(4.0, stretch))
                psf = scene.psf[part * scene.kernels + kernel[s]]
                for dy, dx, tap in zip(psf.dy, psf.dx, psf.weight, strict=True):
                    y, x = i - reach + dy, j - reach + dx
                    if 0 <= y < height and 0 <= x < width:
                        amounts[number, own[y, x]][kind] += tap * stretch * amount
                        lights[number, own[y, x]][kind] += tap * stretch * light * lit[i, j]
        for p in range(pixels):
            there = sorted((n for n, q in amounts if q == p and amounts[n, q].sum() > 1e-9), reverse=True)
            room, waiting, later, given = 1.0, 0.0, np.zeros(pixels), dict[int, float]()
            for i, n in enumerate(there):
                if room == 0:
                    break
                surface = [m for k, m in enumerate(there[: i + 1]) if n - m == k - i]  # without a gap up to here
                v, h, void = amounts[n, p]
                following = amounts[n - 1, p][:2].sum() if n - 1 in there else 0.0
                together = sum(amounts[m, p].sum() for m in [*surface, *({n - 1} & set(there))])
                sure = np.interp(together, [0.4, 0.85, 1.06, 1.12], [0.0, 1.0, 1.0, 0.0])
                sure *= max(0.0, 1 - 4 * following) if together < 1 else 1.0
                wanted = (1 - sure + sure / together) * sum(amounts[m, p][:2].sum() for m in surface)
                lacking = wanted - sum(given.get(m, 0.0) for m in surface)
                given[n] = min(max(lacking, 0.0), 2 * (v + h), 1.0) if v + h > 1e-9 else 0.0
                scale = given[n] / (v + h) if v + h > 1e-9 else 1.0
                if void <= 1e-9 and v >= 1 - 1e-5:
                    scale = 1.0
                    why["complete"] += 1
                if v + h <= 1e-9:
                    why["nothing but void"] += 1
                    continue
                opaque = min(1.0, scale * (v + h))
                beside = 1 - opaque
                seen = min(max(scale * v, room - beside), opaque, room)
                of_v = min(scale * v, seen)
                of_h = seen - of_v
                matrix[p] += weight * (of_v / v * lights[n, p][0] if of_v > 0 else 0.0)
                matrix[p] += weight * (of_h / h * lights[n, p][1] if h > 1e-9 else 0.0)
                if h > 1e-9:
                    later += (scale - of_h / h) * lights[n, p][1]
                    waiting += scale * h - of_h
                why["up"] += scale > 1.01
                why["down"] += scale < 0.99 and v + h < 0.9
                why["goes on"] += bool(0.45 < together < 0.95 and sure == 0)
                why["partly goes on"] += bool(together < 0.95 and following > 1e-3 and sure > 0.01)
                why["unknown"] += bool(together < 0.4)
                why["made good"] += bool(len(surface) > 1 and scale > (1 - sure + sure / together) + 0.01)
                why["too much"] += bool(together > 1.12)
                why["void"] += void > 0.05 and sure > 0.1
                why["of several slices"] += len(surface) > 1
                why["after a gap"] += i > 0 and len(surface) == 1
                why["hidden waits"] += scale * h - of_h > 0.01
                why["hidden before farther ones"] += of_h > 0.01 and i + 1 < len(there)
                why["no more beside it"] += seen > scale * v + 0.01 and room > beside
                why["both of one slice"] += of_v > 0.01 and of_h > 0.01
                total[p] += weight * seen
                room = room - seen if room - seen > 1e-9 else 0.0
            if waiting > 1e-9:
                why["reserve"] += room > 0.01
                why["part of the reserve"] += 0.01 < room < waiting - 0.01
                matrix[p] += weight * min(1.0, room / waiting) * later
                total[p] += weight * min(room, waiting)
    uncovered = total <= 1e-9
    matrix /= np.where(uncovered, 1.0, total)[:, None]
    matrix[uncovered] = unit[uncovered]
    return matrix, why


HAPPENS = (
    "complete", "nothing but void", "up", "down", "goes on", "partly goes on", "unknown", "too much", "void",
    "of several slices", "after a gap", "hidden waits", "hidden before farther ones", "no more beside it",
    "both of one slice", "reserve", "part of the reserve", "made good",
)  # fmt: skip


@pytest.mark.parametrize(
    ("border", "dtype", "kind"),
    [
        (Border.REFLECT, np.float64, {"parts": 2, "mixed": True, "sloped": True}),
        (Border.CONSTANT, np.float32, {"parts": 1, "mixed": True}),
        (Border.CIRCULAR, np.float64, {"parts": 1}),
    ],
)
def test_composite_of_a_connected_scene(border: Border, dtype: type, kind: dict[str, Any], device: str) -> None:
    """Beside the matrix that the definition gives."""
    from blursynth.backends.torch.composite_triton import composite, composite_adjoint

    rng = np.random.default_rng(36)
    scene = random_scene(rng, (1, 6, 7), size=(2, 2), slices=4, connected=True, **kind)
    matrix, why = connected_matrix(scene, border)
    if "mixed" in kind:
        assert all(why[name] > 0 for name in HAPPENS)
    image = rng.normal(size=(1, 3 if kind["parts"] > 1 else 1, 6, 7)).astype(dtype)
    rest = arguments(scene, border)
    there = torch.from_numpy(image).to(device)
    got, back = composite(there, *rest), composite_adjoint(there, *rest)
    flat = image.astype(np.float64).reshape(-1, 42)
    close(got, (flat @ matrix.T).reshape(image.shape), dtype)
    close(back, (flat @ matrix).reshape(image.shape), dtype)


# What reaches a pixel (slice, kind of patch, coverage), and what share of it each of these is.
AT_A_PIXEL: dict[str, tuple[list[tuple[int, str, float]], list[float]]] = {
    "scaled up": ([(5, "v", 0.72), (5, "m", 0.24), (0, "v", 1.0)], [0.75, 0, 0.25]),
    "scaled down": ([(5, "v", 0.78), (5, "m", 0.26), (0, "v", 1.0)], [0.75, 0, 0.25]),
    "partly scaled": ([(5, "v", 0.5), (5, "m", 0.26), (0, "v", 1.0)], [0.5 + 0.4 * 6 / 19, 0, 0.5 - 0.4 * 6 / 19]),
    "not all that is missing is known": ([(5, "v", 0.2), (5, "m", 0.15), (0, "v", 1.0)], [0.2, 0, 0.8]),
    "two surfaces": ([(5, "v", 0.6), (5, "m", 0.6), (0, "v", 1.0)], [0.6, 0, 0.4]),
    # .8 is scaled by 8/9 of a quarter; of that the first gets a fifth, since .2 of the next slice tells that it goes on.
    "goes on in the next slice": (
        [(5, "v", 0.6), (4, "v", 0.2), (0, "v", 1.0)],
        [0.6 * 47 / 45, 0.8 * 11 / 9 - 0.6 * 47 / 45, 1 - 0.8 * 11 / 9],
    ),
    "neighboring slices": ([(5, "v", 0.5), (4, "v", 0.46), (0, "v", 1.0)], [0.5, 0.5, 0]),
    "given too much before": (
        [(5, "v", 0.6), (4, "v", 0.05), (3, "v", 0.3)],
        [0.6 * (1 + 4 / 9 * 7 / 13), 0, 1 - 0.6 * (1 + 4 / 9 * 7 / 13)],
    ),
    "twofold at most": ([(5, "v", 0.3), (4, "v", 0.02), (3, "m", 0.6), (0, "v", 1.0)], [0.3, 0.04, 0, 0.66]),
    "slices apart": ([(5, "v", 0.4), (3, "v", 0.36), (0, "v", 1.0)], [0.4, 0.36, 0.24]),
    "void of the slice before": ([(5, "m", 0.5), (4, "v", 0.46), (0, "v", 1.0)], [0, 0.46 / 0.96, 0.5 / 0.96]),
    "complete": ([(5, "v", 1.0), (4, "v", 0.05), (0, "v", 1.0)], [1, 0, 0]),
    "complete but for what is missing": ([(5, "v", 1.0), (5, "m", 0.05), (0, "v", 1.0)], [1 / 1.05, 0, 0.05 / 1.05]),
    "visible before hidden": ([(5, "v", 0.4), (3, "h", 0.4), (1, "v", 1.0)], [0.4, 0, 0.6]),
    "no more beside it than its share": ([(5, "v", 0.25), (3, "h", 0.4), (1, "v", 1.0)], [0.25, 0.15, 0.6]),
    "reserve": ([(5, "v", 0.4), (3, "h", 0.4), (1, "v", 0.25)], [0.4, 0.35, 0.25]),
    "reserve of two": ([(7, "v", 0.4), (5, "h", 0.4), (3, "h", 0.2), (1, "v", 0.25)], [0.4, 0.7 / 3, 0.35 / 3, 0.25]),
    "all of the reserve": ([(5, "v", 0.4), (3, "h", 0.125), (1, "v", 0.125)], [0.4 / 0.65, 0.125 / 0.65, 0.125 / 0.65]),
    "both in one slice": ([(5, "v", 0.25), (3, "v", 0.1), (3, "h", 0.3)], [0.25 / 0.65, 0.1 / 0.65, 0.3 / 0.65]),
    "more than whole": ([(5, "v", 0.75), (5, "h", 0.5)], [0.6, 0.4]),
    "hidden in a complete slice": ([(5, "v", 1.0), (5, "h", 0.25)], [1, 0]),
}


@every_dtype
def test_what_a_pixel_shows_of_a_connected_scene(dtype: type, device: str) -> None:
    """By hand: pixels around it throw part of their light on a pixel and keep the rest; all cases in one picture."""
    from blursynth.backends.torch.composite_triton import composite, composite_adjoint

    shape = (1, 9, 32)  # cells of 3 x 4: a pixel, those around it, and the sources of what is hidden or missing
    order, kernel = np.full(shape, 90, np.int32), np.zeros(shape, np.int32)  # in front of all, and in focus
    hidden, missing, nowhere = (np.full(shape, -1, np.int32) for _ in range(3))
    around = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1)]
    aside = np.zeros((3, 3))
    aside[1, 0] = 1
    spreads = [np.ones((1, 1)), aside]
    targets, shares = np.zeros(shape), np.zeros(shape)
    for cell, (reaching, expected) in enumerate(AT_A_PIXEL.values()):
        y, x = 3 * (cell // 8) + 1, 4 * (cell % 8) + 1
        targets[0, y, x] = 1
        order[0, y, x], kernel[0, y, x] = -50, 1
        behind = [(y + 1, x + 2), (y, x + 2), (y - 1, x + 2)]
        for (dy, dx), (number, what, amount), share in zip(around, reaching, expected, strict=False):
            place = (0, y + dy, x + dx)
            source = place if what == "v" else (0, *behind.pop())
            order[source], kernel[source] = number, len(spreads)
            spreads.append(np.zeros((3, 3)))
            spreads[-1][1, 1], spreads[-1][1 - dy, 1 - dx] = 1 - amount, amount
            shares[source] = share
            if what != "v":
                (hidden if what == "h" else missing)[place] = source[1] * shape[2] + source[2]
    psf = PointSpreads.from_dense(spreads, [(0, 0), *[(1, 1)] * (len(spreads) - 1)])
    edges = (nowhere, np.ones(shape), nowhere, missing)
    scene = Scene(order, kernel, hidden, psf, np.ones(1), *edges, connected=True)
    rest = arguments(scene, Border.REPLICATE)
    image = np.random.default_rng(38).normal(size=(1, 2, *shape[1:])).astype(dtype)
    got = composite(torch.from_numpy(image).to(device), *rest)
    back = composite_adjoint(torch.from_numpy(targets[:, None].astype(dtype)).to(device), *rest).cpu().numpy()
    for cell, case in enumerate(AT_A_PIXEL):
        rows, columns = slice(3 * (cell // 8), 3 * (cell // 8) + 3), slice(4 * (cell % 8), 4 * (cell % 8) + 4)
        here = shares[0, rows, columns]
        assert back[0, 0, rows, columns] == pytest.approx(here, rel=0, abs=TOLERANCE[dtype]), case
        shown = (image[0, :, rows, columns] * here).sum(axis=(1, 2))
        assert got[0, :, rows, columns][:, 1, 1].cpu().numpy() == pytest.approx(shown, rel=0, abs=TOLERANCE[dtype]), (
            case
        )


def test_a_whole_surface_lets_nothing_through(device: str) -> None:
    """Not even the little light of the next slice that would have a place in it."""
    from blursynth.backends.torch.composite_triton import composite

    order = np.array([[[1, 0]]], np.int32)
    psf = PointSpreads.from_dense([np.array([[0.05, 0.95]]), np.ones((1, 1))], [(0, 1), (0, 0)])
    scene = Scene(order, order.copy(), np.full_like(order, -1), psf, connected=True)
    image = torch.tensor([[[[1.0, 100.0]]]], device=device)
    assert composite(image, *arguments(scene, Border.REPLICATE)).cpu().flatten().tolist() == [1.0, 100.0]


def test_composite_of_several_tiles(device: str) -> None:
    """Tiles in focus look no farther than the blur near by reaches; what is blurred still reaches into them."""
    from blursynth.backends.torch.composite_triton import composite

    rng = np.random.default_rng(7)
    order = np.zeros((1, 4, 67), np.int32)
    order[:, 1:3, 29:31] = 1  # in the first of three tiles, and reaching into the second
    hidden = np.where(order > 0, 28, -1).astype(np.int32)  # what is left of it, in the uppermost row
    wide = np.zeros((5, 5))
    wide[[0, 2, 4, 2, 2], [2, 0, 2, 4, 2]] = 0.2
    psf = PointSpreads.from_dense([np.ones((1, 1)), wide])
    scene = Scene(order, order.copy(), hidden, psf)
    image = rng.random((1, 1, 4, 67))
    there = torch.from_numpy(image).to(device)
    got = composite(there, *arguments(scene, Border.REFLECT))
    close(got, oracle.composite(image, scene, border=Border.REFLECT), np.float64)


def test_a_missing_surface_reaches_into_other_tiles(device: str) -> None:
    """Farther than what is there of it, or of any other blurred one; in the first picture in one row alone."""
    from blursynth.backends.torch.composite_triton import composite, composite_adjoint

    rng = np.random.default_rng(19)
    order = np.ones((2, 3, 72), np.int32)
    order[:, 0, 1] = -3
    kernel = np.zeros_like(order)
    kernel[:, 0, 0] = 1  # of the surface that is everywhere the one place that is blurred
    nowhere = np.full_like(order, -1)
    hidden, missing = nowhere.copy(), nowhere.copy()
    hidden[:, :, 64:] = 1  # the farthest surface, seen in the last of three tiles where that one is not whole
    missing[0, 2, 63] = missing[1, :, 63] = 0  # with the blur of the first tile
    psf = PointSpreads.from_dense([np.ones((1, 1)), np.array([[0.05, 0.9, 0.05]])])
    whole = np.ones(order.shape)
    scene = Scene(order, kernel, hidden, psf, np.ones(1), nowhere, whole, nowhere, missing, connected=True)
    image = rng.random((2, 1, 3, 72))
    expected = oracle.composite(image, scene, border=Border.REFLECT)
    changed = np.abs(expected - image)[:, 0, :, 64] > 1e-3
    assert changed.tolist() == [[False, False, True], [True, True, True]]
    there, rest = torch.from_numpy(image).to(device), arguments(scene, Border.REFLECT)
    close(composite(there, *rest), expected, np.float64)
    close(composite_adjoint(there, *rest), oracle.composite_adjoint(image, scene, border=Border.REFLECT), np.float64)


# -- the camera -------------------------------------------------------------------------------------------------------


def on_device(name: str) -> Callable[..., Any]:
    """What torch calls for tensors on a CUDA device."""
    for_array(torch.zeros(1))  # declares the operators
    from blursynth.backends.torch.operator import ON_DEVICE

    return ON_DEVICE[name]


def packed(parameters: SensorParameters, batch: int) -> Any:
    return importlib.import_module("blursynth.backends.torch.sensor")._packed(parameters, batch)


def keys(image: Any) -> Any:
    sensor = importlib.import_module("blursynth.backends.torch.sensor")
    return sensor.keys_of(image, SEEDS[: len(image)], ORIGINS[: len(image)])


MEANS = [0.0, 0.3, 6.9, 7.1, 12.0, 300.0, 5000.0, 1e6, 9e7]


@every_dtype
def test_noise_has_the_numbers_of_the_cpu(dtype: type, device: str, exact_fma: None) -> None:
    mean = np.resize(np.array(MEANS, dtype), (2, 2, 9, 37))
    there = torch.from_numpy(mean).to(device)
    counts = on_device("poisson")(there, keys(mean))
    expected = cpu.poisson(mean, SEEDS, origin_px=ORIGINS)
    assert np.array_equal(counts.cpu().numpy(), expected)
    sigma = np.array([0.1, 30.0])
    noisy = on_device("gaussian_noise")(there, torch.from_numpy(sigma), keys(mean))
    close(noisy, cpu.gaussian_noise(mean, sigma, SEEDS, origin_px=ORIGINS), dtype)
    if dtype == np.float32:  # the interpreter has no float64 arithmetic of one rounding
        assert np.array_equal(noisy.cpu().numpy(), cpu.gaussian_noise(mean, sigma, SEEDS, origin_px=ORIGINS))


def test_normal_numbers_without_one_rounding() -> None:
    """Where two roundings take the place of one, as in the interpreter, numbers differ in their last bits only."""
    image = np.zeros((1, 1, 8, 64), np.float32)
    noisy = on_device("gaussian_noise")(torch.from_numpy(image), torch.ones(1), keys(image))
    expected = cpu.gaussian_noise(image, np.ones(1), SEEDS[:1], origin_px=ORIGINS[:1])
    assert np.abs(noisy.numpy() - expected).max() < 2e-6


def cameras(mosaic: Any) -> dict[str, SensorParameters]:
    matrix = [[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]]
    return {
        "everything": SensorParameters(
            white_level_e=[1000.0, 30.0], full_well_e=[900.0, 40.0], read_noise_e=[3.0, 2.0], row_noise_e=[1.0, 0.0],
            column_noise_e=0.5, read_noise_shape=[np.nan, -0.1], gain_dn_per_e=[0.9, 2.0],
            black_level_dn=[64.0, 20.0], bit_depth=[12, 10], dark_e=[0.0, 5.0], prnu=[0.01, 0.05],
            dsnu_e=[0.0, 1.0], sensor_seed=SEEDS[::-1], from_light=camera_from_srgb([2.0, 1.0, 1.6], matrix),
            offset_dn=[[0.5, 0.0, 0.3, -0.2]] * 2, mosaic=mosaic,
        ),
        "little": SensorParameters(
            200.0, 190.0, shot_noise=[True, False], rounding=[False, True], black_level_dn=0.5,
            gain_dn_per_e=[0.3, 0.4], offset_dn=[1.0, 2.0, 3.0, 4.0], mosaic=mosaic,
        ),
        "no noise": SensorParameters(1000.0, 900.0, shot_noise=False, mosaic=mosaic),
    }  # fmt: skip


@pytest.mark.parametrize("mosaic", [0, [2, 3]])
@pytest.mark.parametrize(
    ("which", "dtype"),
    [*((which, np.float32) for which in ("everything", "little", "no noise")), ("everything", np.float64)],
)
def test_sensor_has_the_numbers_of_the_cpu(which: str, mosaic: Any, dtype: type, device: str, exact_fma: None) -> None:
    parameters = cameras(mosaic)[which]
    light = np.random.default_rng(9).uniform(-0.1, 1.3, (2, 3, 9, 62)).astype(dtype)  # two blocks
    packed_parameters = packed(parameters, 2)
    there = torch.from_numpy(light).to(device)
    got = on_device("sensor")(there, *packed_parameters, keys(light), parameters.has_mosaic).cpu().numpy()
    expected = cpu.sensor(light, parameters, SEEDS, origin_px=ORIGINS)
    assert got.shape == expected.shape
    # In float64 the interpreter rounds twice, and may find a tie of the converter on its other side.
    assert (got != expected).sum() <= (0 if dtype == np.float32 else 1)


def test_light_that_cannot_be_counted_is_no_number(device: str, exact_fma: None) -> None:
    light = torch.tensor([np.nan, np.inf, 2e5, 1.0, -1.0], dtype=torch.float32).reshape(1, 1, 1, 5).to(device)
    packed_parameters = packed(SensorParameters(1000.0, 900.0), 1)
    got = on_device("sensor")(light, *packed_parameters, keys(light), False)
    assert got.isnan().flatten().tolist() == [True, True, True, False, False]
    counts = on_device("poisson")(light, keys(light))
    assert counts.isnan().flatten().tolist() == [True, True, False, False, True]


@pytest.mark.parametrize("mean", [0.5, 6.0, 40.0, 2500.0])
def test_laws_of_the_numbers(mean: float, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean, variance and chi-square of 1e5 counts and normal numbers, five standard errors."""
    for module in ("sensor", "noise"):  # fewer and larger programs: the interpreter's time is theirs
        monkeypatch.setattr(f"blursynth.backends.torch.{module}_triton._BLOCK", 16384)
    flat = torch.full((1, 1, 100, 1000), mean, device=device)
    number = flat.numel()
    for name, draws, variance, kurtosis, quantile in (
        (
            "poisson",
            on_device("poisson")(flat, keys(flat)),
            mean,
            1 / mean,
            lambda q: stats.poisson.ppf(q, mean),
        ),
        (
            "normal",
            on_device("gaussian_noise")(flat, torch.tensor([2.0], dtype=torch.float64), keys(flat)),
            4.0,
            0.0,
            lambda q: stats.norm.ppf(q, mean, 2.0),
        ),
    ):
        values = draws.cpu().numpy().astype(np.float64).ravel()
        assert abs(values.mean() - mean) < 5 * np.sqrt(variance / number), name
        assert abs(values.var() - variance) < 5 * np.sqrt((2 + kurtosis) / number) * variance, name
        ends = np.unique(quantile(np.linspace(0, 1, 42)[1:-1]))
        below = stats.poisson.cdf(ends, mean) if name == "poisson" else stats.norm.cdf(ends, mean, 2.0)
        expected = np.diff([0.0, *below, 1.0]) * number
        observed = np.bincount(np.searchsorted(ends, values), minlength=ends.size + 1)
        assert stats.chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 5.7e-7, name


def seen_by_operators(work: Callable[[], Any]) -> dict[str, Any]:
    """The arguments and the result of each of our operators, the first time that it is called."""
    seen: dict[str, Any] = {}

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if function.namespace == "blursynth":
                seen.setdefault(str(function).split(".")[1], (args, result))
            return result

    with Recorder():
        work()
    return seen


@every_dtype
def testcodes_there_are_those_of_the_cpu(dtype: type, device: str) -> None:
    codes = importlib.import_module("blursynth.backends.torch.codes")
    rng = np.random.default_rng(12)
    values = np.concatenate([rng.uniform(-0.2, 1.2, 500), (np.arange(256) + 0.5) / 255, np.arange(256) / 255])
    values = values.astype(dtype).reshape(1, 1, 4, -1)
    there = torch.from_numpy(values).to(device)
    expected = cpu.to_codes(values)
    assert np.array_equal(codes.codes_there(there).cpu().numpy(), expected)
    back = codes.values_there(torch.from_numpy(expected).to(device), there.dtype)
    assert np.array_equal(back.cpu().numpy(), cpu.from_codes(expected, dtype))


def test_a_camera_on_the_device_agrees_with_the_cpu(device: str, exact_fma: None) -> None:
    """Sensor, development and encoding of a small batch, with all the noise there is."""
    frame = pictures(batch=2, size_px=(12, 16))
    steps = (
        ("sensor", bs.kinds.Sensor(full_well_e=900.0, read_noise_e=2.0, row_noise_e=0.5, prnu=0.01, mosaic="GRBG", red_gain=2.0,
                             blue_gain=1.6, red_from_green=-0.5, seed=4)),
        ("develop", bs.kinds.Develop(gain=1.5)),
        ("encode", bs.kinds.Encode()),
    )  # fmt: skip
    draw = bs.Draw(steps)
    expected = draw(frame)
    seen = seen_by_operators(lambda: draw(frame.with_image(torch.from_numpy(frame.image))))
    light = torch.from_numpy(frame.image).to(device)
    _, *rest = seen["sensor"][0]
    raw = on_device("sensor")(light, *rest)
    _, *rest = seen["develop"][0]
    developed = on_device("develop")(raw, *rest)
    _, *rest = seen["srgb_encode"][0]
    shown = on_device("srgb_encode")(developed, *rest)
    codes = 255 * (shown.cpu().numpy() - expected.image)
    assert np.abs(codes).max() <= 1.001
    assert (np.abs(codes) > 0.5).mean() < 1e-3  # ties of the last rounding


def test_adjoints_are_added_in_a_fixed_order_where_that_is_asked_for() -> None:
    """By the CPU, to the bit."""
    rng = np.random.default_rng(8)
    image = torch.from_numpy(rng.random((1, 1, 4, 5)))
    ops: Any = for_array(image)
    motion, scene = random_warps(rng, 1, times=2, moves=False), random_scene(rng, (1, 4, 5), parts=1, size=(1, 2))

    def work() -> None:
        ops.warp_mean_adjoint(image, motion, border="reflect")
        ops.composite_adjoint(image, scene, border="constant")

    torch.use_deterministic_algorithms(True)
    try:
        for name, (given, expected) in seen_by_operators(work).items():
            assert torch.equal(on_device(name)(*given), expected)
    finally:
        torch.use_deterministic_algorithms(False)
