"""A recipe from a user's photographs: files, noise, edges, blur, and a comparison of what it makes with them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.progress import OnProgress, Progress
from blursynth.errors import InvalidValueError, PictureError, RecipeError, require
from blursynth.fit.blur_reader import TILE_PX, WINDOW_PX, BlurReader, readings_of, windows_of
from blursynth.fit.camera import Camera, camera_steps
from blursynth.fit.components import COMPONENTS, FAMILIES, blur_steps, similar
from blursynth.fit.compose import recipe_text
from blursynth.fit.edges import EdgeFit, edge_profiles, fit_edges
from blursynth.fit.mixture import mixture_shares
from blursynth.fit.noise import NoiseBlocks, measure_noise, noise_blocks
from blursynth.fit.photographs import Photograph, jpeg_settings, read_photographs, read_sharp
from blursynth.fit.realism import Realism, two_sample_test
from blursynth.fit.response import bracket_pairs, fit_curve
from blursynth.fit.scenes import bundled_scenes, dead_leaves
from blursynth.fit.sensor import PRIOR, read_noise_parameters, simulate_flats
from blursynth.fit.simulation import simulate
from blursynth.frame import Encoding, Frame
from blursynth.recipe.recipe import Recipe
from blursynth.records.toml import parse_toml

__all__ = ["Fit", "default_scenes", "fit_photographs", "fit_recipe", "simulated_photographs"]

Array = NDArray[np.float64]

_LEAVES = 7  # as many as photographs
_LEAVES_PX = 512
_FLATS = 500
_EPOCHS = 25
_COMPARED_PX = 384
_FEWEST_PLACES = 4
_SOFTEST_LENS_PX = 0.85  # of lens and pixels in focus; where even the sharpest edges are softer, blur made them so
_SOFTER_PX = 0.4  # lenses up to so much softer are simulated, as scenes are; softer ones look like discs
_ROUGHNESS = (-0.2, 0.5)
_SPREAD = 0.2  # of a share in each round over neighboring sizes
_SMOOTHING = 0.03  # imagined readings per reading, which hold shares that the others say nothing about


@dataclass(frozen=True, eq=False)
class Fit:
    """What was found, and the recipe.

    Parameters
    ----------
    name
        Name of the recipe.
    photographs
        The photographs that were measured.
    camera
        Ranges of the camera's parameters.
    shares
        ``[J]`` share of each of :data:`~blursynth.fit.components.COMPONENTS` in the recipe.
    reader, posteriors, weights
        The network, and its readings of the photographs' windows.
    synthetic
        Pictures ``[3, H, W]`` that the recipe makes.
    realism
        How well they are told from the photographs.
    recipe_text
        The recipe as TOML, with a comment for each number.
    notes
        Remarks for the user.
    seed
        Seed of everything random.
    """

    name: str
    photographs: tuple[Photograph, ...]
    camera: Camera
    shares: Array
    reader: BlurReader
    posteriors: Array
    weights: Array
    synthetic: tuple[NDArray[np.float32], ...]
    realism: Realism
    recipe_text: str
    notes: tuple[str, ...]
    seed: int

    @property
    def recipe(self) -> Recipe:
        return _recipe_of(self.recipe_text, self.name)

    def family_shares(self) -> dict[str, float]:
        """The share of each family of blur."""
        return {
            f: float(sum(s for s, c in zip(self.shares, COMPONENTS, strict=True) if c.family == f)) for f in FAMILIES
        }

    def size_px(self, families: Sequence[str]) -> float:
        """The mean size of the blur of some families, in px; NaN if they have no share."""
        chosen = [(s, c.middle_px) for s, c in zip(self.shares, COMPONENTS, strict=True) if c.family in families]
        total = sum(s for s, _ in chosen)
        return float(sum(s * px for s, px in chosen) / total) if total > 0 else math.nan

    def rows(self) -> list[tuple[str, str, str]]:
        """Parameter, value and how it was found, for people."""
        camera, how = self.camera, self.camera.how
        files = Counter(one.file.model or "unknown camera" for one in self.photographs)
        rows = [("camera", ", ".join(f"{name} ({n})" for name, n in files.most_common(4)), "read from the files")]
        for label, field, form in (
            ("ISO", "iso", "{:.0f}"), ("exposure", "exposure_s", "{:.4g} s"), ("f-number", "f_number", "{:.2g}"),
            ("focal length", "focal_length_mm", "{:.3g} mm"), ("bits", "bit_depth", "{}"),
        ):  # fmt: skip
            values = sorted(v for one in self.photographs if (v := getattr(one.file, field)) is not None)
            if values:
                low, high = form.format(values[0]), form.format(values[-1])
                rows.append((label, low if low == high else f"{low} to {high}", "read from the files"))
        if camera.jpeg:
            text = ", ".join(f"{q} {s} ({100 * w:.0f} %)" for q, s, w in camera.jpeg[:5])
            rows.append(("JPEG quality", text, how.get("jpeg", "")))
        for name in (*PRIOR, "lens_sigma_px"):
            low, high = getattr(camera, name)
            rows.append((name, f"{low:.3g} to {high:.3g}", how.get(name, "prior")))
        if camera.sharpen is not None:
            sigma, amount = camera.sharpen
            text = f"sigma {sigma[0]:.2g} to {sigma[1]:.2g} px, amount {amount[0]:.2g} to {amount[1]:.2g}"
            rows.append(("sharpening", text, how.get("sharpen", "")))
        rows += [
            (f"blur: {family}", f"{100 * share:.0f} %", "inferred") for family, share in self.family_shares().items()
        ]
        rows.append(("mean path", f"{self.size_px(('straight', 'walk')):.1f} px", "inferred, of pictures with motion"))
        return rows


def fit_recipe(
    places: str | Path | Iterable[str | Path],
    *,
    sharp: str | Path | Iterable[str | Path] | None = None,
    name: str = "fitted",
    seed: int = 0,
    windows: int = 3600,
    on_progress: OnProgress = lambda progress: None,
) -> Fit:
    """Fit a recipe to photographs.

    Parameters
    ----------
    places
        The photographs, as a camera stores them: folders, globs or files. At least four of 128 px.
    sharp
        Sharp photographs to simulate with, best of the same kind of scenes. By default those that scikit-image brings
        along, and dead leaves in the colors of the photographs.
    name
        Name of the recipe.
    seed
        Seed of everything random: the same photographs and seed give the same recipe.
    windows
        Simulated windows of 256 px that the reader of blur learns from.
    on_progress
        Called with :class:`~blursynth.dataset.Progress` of the stages scan, measure, simulate, train and compare.

    Raises
    ------
    PictureError
        There are too few photographs, or they are flat.
    MissingExtraError
        torch is not installed.

    Not modeled: blur that changes over a picture is read tile by tile and becomes a distribution over pictures;
    exposure, white balance and color matrix stay priors.
    """
    require("torch", extra="torch", purpose="Reading blur")
    photographs, scan = read_photographs(places, on_progress=on_progress)
    scenes = None if sharp is None else read_sharp(sharp, on_progress=on_progress)
    notes = tuple(f"{s.name} was not used: {s.why}" for s in scan.skipped[:5])
    return fit_photographs(
        photographs, scenes, name=name, seed=seed, windows=windows, notes=notes, on_progress=on_progress
    )


def fit_photographs(
    photographs: Sequence[Photograph],
    scenes: Sequence[Frame] | None = None,
    *,
    name: str = "fitted",
    seed: int = 0,
    windows: int = 3600,
    notes: tuple[str, ...] = (),
    on_progress: OnProgress = lambda progress: None,
) -> Fit:
    """:func:`fit_recipe` for photographs and sharp scenes in memory."""
    camera = _measured_camera(photographs, seed, on_progress)
    scenes = list(scenes) if scenes else default_scenes(photographs, seed)
    reader = _trained_reader(camera, scenes, windows, seed, on_progress)
    pictures = [one.codes for one in photographs]
    posteriors, weights = readings_of(reader, pictures)
    if len(posteriors) < _FEWEST_PLACES:
        raise PictureError(
            f"Only {len(posteriors)} places show enough contrast to read blur, at least {_FEWEST_PLACES} are needed.",
            why=f"It is read in windows of {WINDOW_PX} px of which a third has detail.",
            fix="Give more photographs, or ones with detail.",
        )
    prior = np.full(len(COMPONENTS), 1.0 / len(COMPONENTS))
    shares = mixture_shares(
        posteriors, prior, weights=weights, smoothing=_SMOOTHING * len(posteriors), spread=similar(_SPREAD)
    )
    how = (
        f"inferred from {len(posteriors)} places in {len(photographs)} photographs: the shares under which readings of "
        "synthetic pictures are distributed as theirs; directions and form of the paths are priors"
    )
    text = recipe_text(
        camera,
        shares,
        summary=f"Fitted to {len(photographs)} photographs: their blur, noise and compression",
        source=f"blursynth fit, {len(photographs)} photographs",
        blur=how,
    )
    recipe = _recipe_of(text, name)
    synthetic = simulated_photographs(recipe, scenes, max(8, min(40, len(photographs))), seed, on_progress)
    realism = two_sample_test(
        pictures, synthetic, seed=seed,
        on_fold=lambda done, total: on_progress(Progress("compare", done, total)),
    )  # fmt: skip
    return Fit(
        name, tuple(photographs), camera, shares, reader, posteriors, weights, tuple(synthetic), realism, text,
        notes, seed,
    )  # fmt: skip


def _recipe_of(text: str, name: str) -> Recipe:
    return Recipe.from_dict(parse_toml(text, name, error=RecipeError), name=name)


def simulated_photographs(
    recipe: Recipe, scenes: Sequence[Frame], count: int, seed: int, on_progress: OnProgress = lambda progress: None
) -> list[NDArray[np.float32]]:
    """Pictures of a recipe to compare with photographs, as large as the scenes allow up to 384 px."""
    size = min(_COMPARED_PX, max(TILE_PX, min(min(frame.size_px) for frame in scenes) // 16 * 16))
    made = simulate(
        [recipe], scenes, count, size_px=size, seed=seed + 1,
        on_made=lambda done: on_progress(Progress("compare", done, count)),
    )  # fmt: skip
    return [one.codes for one in made]


def _measured_camera(photographs: Sequence[Photograph], seed: int, on_progress: OnProgress) -> Camera:
    """Everything about the camera but its blur."""
    blocks: dict[int, list[NoiseBlocks]] = {}  # by the octave of their ISO, since noise is that of the cleanest
    profiles = []
    for done, one in enumerate(photographs, 1):
        codes = one.codes
        octave = round(math.log2(one.file.iso)) if one.file.iso else 0
        blocks.setdefault(octave, []).append(noise_blocks(codes))
        profiles.append(edge_profiles(codes))
        on_progress(Progress("measure", done, len(photographs)))
    jpeg = jpeg_settings(photographs)
    gray = all(one.is_gray for one in photographs)
    exact = all(one.file.standard_tables for one in photographs if one.file.is_jpeg)
    how = {"jpeg": "read from the files" if exact else "nearest to the tables in the files"}
    pairs = bracket_pairs(photographs)
    curve = fit_curve(pairs)
    if curve is not None:
        how["curve"] = f"measured: {len(pairs)} pairs of one scene whose exposures EXIF states"
    camera = Camera(jpeg=jpeg, gray=gray, how=how)
    if curve is not None:
        exponent, midtone, contrast = ((value, value) for value in curve)
        camera = replace(camera, curve=(exponent, midtone, contrast))
    measured = []
    for alike in blocks.values():
        with suppress(InvalidValueError):  # too few, or clipped
            measured.append(measure_noise(alike))
    if measured:
        draws = simulate_flats(
            camera, _FLATS, seed=seed, on_made=lambda done: on_progress(Progress("measure", done, _FLATS))
        )
        found = np.array([read_noise_parameters(draws, one) for one in measured])
        lows, highs = found[:, 0].min(axis=0).tolist(), found[:, 2].max(axis=0).tolist()
        word = "measured: the quietest places are as noisy as simulated flats with it"
        ranges = dict(zip(PRIOR, zip(lows, highs, strict=True), strict=True))
        camera = replace(camera, **ranges, how={**how, **dict.fromkeys(PRIOR, word)})  # type: ignore[arg-type]
    edges = fit_edges(np.concatenate(profiles))
    return _with_edges(camera, edges)


def _with_edges(camera: Camera, edges: EdgeFit | None) -> Camera:
    """The camera with the blur of lens and pixels, and the sharpening, of its sharpest edges."""
    if edges is None:
        return camera
    smoothing = math.sqrt(camera.smoothing_sigma_px[0] * camera.smoothing_sigma_px[1])
    lens = math.sqrt(max(edges.blur_px**2 - smoothing**2, 0.09))
    word = f"measured: the sharpest {edges.edges} edges are {edges.blur_px:.2f} px soft, less the smoothing"
    if lens > _SOFTEST_LENS_PX:
        lens = _SOFTEST_LENS_PX
        word = f"at most: the sharpest {edges.edges} edges are {edges.blur_px:.2f} px soft, so all are blurred"
    how = {**camera.how, "lens_sigma_px": word}
    sharpen = None
    if edges.sharpen_amount > 0:
        sigma, amount = edges.sharpen_sigma_px, edges.sharpen_amount
        sharpen = ((sigma / 1.1, sigma * 1.1), (0.8 * amount, 1.2 * amount))
        how["sharpen"] = f"measured: halos of {edges.edges} edges"
    return replace(camera, lens_sigma_px=(lens / 1.15, lens * 1.15), sharpen=sharpen, how=how)


def default_scenes(photographs: Sequence[Photograph], seed: int) -> list[Frame]:
    """Bundled photographs, and dead leaves in the colors of the photographs."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 5]))
    colors = np.concatenate([one.codes.reshape(3, -1)[:, ::997].T for one in photographs])
    leaves = [
        np.block([[dead_leaves(rng, _LEAVES_PX, colors) for _ in range(2)] for _ in range(2)]) for _ in range(_LEAVES)
    ]
    return [*bundled_scenes(WINDOW_PX), *(Frame(one[None], Encoding.DISPLAY) for one in leaves)]


def _trained_reader(
    camera: Camera, scenes: Sequence[Frame], windows: int, seed: int, on_progress: OnProgress
) -> BlurReader:
    """The reader, trained on windows of all components through this camera; a fifth of the scenes calibrates it."""
    low, high = camera.lens_sigma_px
    lens = (low, high + _SOFTER_PX)
    recipes = [
        Recipe.from_dict({"step": [s.to_dict() for s in camera_steps(camera, blur_steps(lens, [c.option()]))]})
        for c in COMPONENTS
    ]
    made = simulate(recipes, scenes, windows, size_px=WINDOW_PX, seed=seed, roughness=_ROUGHNESS)
    features, readable, truth, of_scene = [], [], [], []
    for done, one in enumerate(made, 1):
        found, clear = windows_of(one.codes)
        features.append(found)
        readable.append(clear)
        truth += [one.which] * len(found)
        of_scene += [one.scene] * len(found)
        if done % 10 == 0 or done == windows:
            on_progress(Progress("simulate", done, windows))
    reader = BlurReader(seed)

    def trained(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            on_progress(Progress("train", done, total))

    reader.train(
        (np.concatenate(features), np.concatenate(readable)), np.array(truth), np.array(of_scene) % 5 == 0,
        epochs=_EPOCHS, on_step=trained,
    )  # fmt: skip
    return reader
