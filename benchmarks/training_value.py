"""What a network learns from blur: one small network and budget, the pairs of each engine, real photographs to test it.

``python benchmarks/training_value.py`` trains and writes one table and one JSON file; ``python benchmarks/run.py
training_value`` does the same for BENCHMARKS.md. A run takes about five minutes of one core that multiplies bfloat16;
there is one per engine and seed; runs lie in ``benchmarks/output/training_value`` and are not repeated. It needs the
photographs of ``make photographs``, and the real pairs in the folder that ``BLURSYNTH_REAL_DATA`` names.

No network is trained on the real pairs except that of the upper bound, which sees their other halves. Recipes were
tuned with those of :data:`TUNED_ON` in sight; Flower and Levin's second picture are for the report alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measure import cores, machine, table, version
from numpy.typing import NDArray
from real_pairs import ALIGN_PX, RealPair, protocol, real_pairs, score, sharp_photographs
from safetensors.torch import save_file
from torch import Tensor

import blursynth as bs
from blursynth.core import as_target
from blursynth.dataset import DatasetRequest, OnlineDataset
from blursynth.dataset.bundled import bundled_photographs
from blursynth.dataset.detail import detail_of
from deblur_models.metrics import align, metric
from deblur_models.networks import Network, create_network

OUT = Path(__file__).parent / "output" / "training_value"
SEEDS = (1, 2, 3)

# The budget
STEPS, BATCH, PATCH_PX = 2000, 8, 96
PAIRS, PAIR_PX = 4096, 128  # each pair is seen about four times, as another crop, turned and mirrored
LEARNING_RATE, WARMUP_STEPS, EMA_DECAY = 2e-3, 100, 0.998
BETA2, CLIP_NORM = 0.9, 0.1  # with 0.999 training jumps now and then, and takes hundreds of steps to recover
MIN_DETAIL = 8.0  # windows of sky teach little
LONG_SIDE_PX = 1200  # photographs are reduced by a whole factor to no less than this, so that they are sharp

TUNED_ON = ("GoPro Istanbul", "Levin 1")

Codes = NDArray[np.uint8]
Pairs = tuple[Codes, Codes]  # sharp and blurred, [N, H, W, 3]
Make = Callable[[Sequence[Path], int], Pairs]


@dataclass(frozen=True)
class Engine:
    """Something that makes pairs.

    ``make`` takes photographs and a seed. ``key`` says all that its pairs depend on, apart from the code.
    """

    name: str
    make: Make
    key: Mapping[str, Any] = field(default_factory=dict)
    measured_half: int | None = None  # of the real pairs; None: all of them


# ------------------------------------------------------------------------------------------------------- our own


def recipe_engine(name: str, recipe: bs.Recipe) -> Engine:
    """Pairs of a recipe."""

    def make(photographs: Sequence[Path], seed: int) -> Pairs:
        request = DatasetRequest(
            sources=tuple(map(str, photographs)),
            recipe=recipe,
            count=PAIRS,
            size_px=PAIR_PX,
            seed=seed,
            min_detail=MIN_DETAIL,
        )
        samples = OnlineDataset(request)
        sharp, blurred = np.empty((2, PAIRS, PAIR_PX, PAIR_PX, 3), np.uint8)
        for number, sample in enumerate(samples):
            sharp[number], blurred[number] = sample.sharp, sample.blurred
        return sharp, blurred

    return Engine(name, make, recipe.to_dict())


# ------------------------------------------------------------------------------------------------------- the peers


def peer_engine(name: str, blur: Callable[[Codes, int], Codes], margin_px: int, **key: Any) -> Engine:
    """Pairs of a function of codes ``[H, W, 3]`` and a seed; the sharp picture is the photograph itself."""

    def make(photographs: Sequence[Path], seed: int) -> Pairs:
        rng = np.random.default_rng(seed)
        side = PAIR_PX + 2 * margin_px
        pictures = [codes for path in photographs if min((codes := read(path)).shape[:2]) >= side]
        sharp, blurred = np.empty((2, PAIRS, PAIR_PX, PAIR_PX, 3), np.uint8)
        inner = slice(margin_px, margin_px + PAIR_PX)
        for number in range(PAIRS):
            for _ in range(100):  # as a data set does: flat windows are passed over
                codes = pictures[rng.integers(len(pictures))]
                row, column = (rng.integers(size - side + 1) for size in codes.shape[:2])
                window = np.ascontiguousarray(codes[row : row + side, column : column + side])
                sharp[number] = window[inner, inner]
                if detail_of(sharp[number].transpose(2, 0, 1) / np.float32(255), bs.Encoding.DISPLAY) >= MIN_DETAIL:
                    break
            blurred[number] = blur(window, int(rng.integers(2**31)))[inner, inner]
        return sharp, blurred

    return Engine(name, make, {"peer": name, "margin_px": margin_px, **key})


def albumentations_engine(name: str, *transforms: tuple[str, dict[str, Any]]) -> Engine:
    """One of the transforms, each as likely."""
    import albumentations

    chosen = albumentations.OneOf([getattr(albumentations, kind)(**fields, p=1.0) for kind, fields in transforms], p=1)
    compose = albumentations.Compose([chosen])

    def blur(codes: Codes, seed: int) -> Codes:
        compose.set_random_seed(seed)
        result: Codes = compose(image=codes)["image"]
        return result

    return peer_engine(name, blur, 16, transforms=transforms, version=version("albumentations"))


def deepinv_engine() -> Engine:
    """``MotionBlurGenerator`` with its own parameters on kernels of 31 px, and noise of up to .02."""
    from deblur_models.networks.timm_backbones import import_torchvision

    import_torchvision()
    from deepinv.physics.generator import MotionBlurGenerator

    side = 31
    generator = MotionBlurGenerator((side, side))

    def blur(codes: Codes, seed: int) -> Codes:
        rng = np.random.default_rng(seed)
        kernel = generator.step(1, seed=seed)["filter"][0, 0].numpy()[::-1, ::-1]
        values = cv2.filter2D(codes.astype(np.float32) / 255.0, -1, np.ascontiguousarray(kernel))
        noisy = values + rng.uniform(0.0, 0.02) * rng.standard_normal(values.shape, np.float32)
        return (noisy.clip(0, 1) * 255.0).round().astype(np.uint8)

    return peer_engine("deepinv MotionBlurGenerator, noise", blur, side // 2 + 1, version=version("deepinv"))


# ------------------------------------------------------------------------------------------------------- upper bound

UPPER_BOUND = "upper bound: the other half of the real pairs"


def upper_bound(half: int) -> Engine:
    """One half of the real pairs: the left (0) or right half (1) of each GoPro picture, and Levin's first or second.

    It is measured on the other half, which has the same camera and exposure and other pixels.
    """

    def make(photographs: Sequence[Path], seed: int) -> Pairs:
        rng = np.random.default_rng(seed)
        parts = [part for pair in real_pairs(real_data()) if (part := aligned(pair.half(half)))]
        weight = np.array([blurred.shape[-2] * blurred.shape[-1] for blurred, _ in parts], np.float64)
        sharp, blurred = np.empty((2, PAIRS, PAIR_PX, PAIR_PX, 3), np.uint8)
        for number in range(PAIRS):
            chosen = parts[rng.choice(len(parts), p=weight / weight.sum())]
            row, column = (rng.integers(size - PAIR_PX + 1) for size in chosen[0].shape[-2:])
            for stack, picture in zip((blurred, sharp), chosen, strict=True):
                window = picture[0, :, row : row + PAIR_PX, column : column + PAIR_PX]
                stack[number] = (window.permute(1, 2, 0) * 255).round().numpy()
        return sharp, blurred

    return Engine(UPPER_BOUND, make, {"half": half}, measured_half=1 - half)


def aligned(pair: RealPair | None) -> tuple[Tensor, Tensor] | None:
    """The blurred and the sharp picture, without a shift between them."""
    if pair is None or not pair.shifted:
        return None if pair is None else (pair.blurred, pair.sharp)
    moved = align(pair.blurred, pair.sharp, max_shift_px=ALIGN_PX, border_px=ALIGN_PX + 2)
    return moved.restored, moved.sharp


def real_data() -> Path:
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    if not folder:
        sys.exit("There are no real pairs to measure on: set BLURSYNTH_REAL_DATA to their folder.")
    return Path(folder)


def engines() -> dict[str, Callable[[], Engine]]:
    """All engines by name; each is made only when it is used."""
    motion = ("MotionBlur", {"blur_limit": (3, 31)})
    listed: dict[str, Callable[[], Engine]] = {
        "albumentations MotionBlur 3-31": lambda: albumentations_engine("albumentations MotionBlur 3-31", motion),
        "albumentations MotionBlur, Defocus, AdvancedBlur": lambda: albumentations_engine(
            "albumentations MotionBlur, Defocus, AdvancedBlur",
            motion,
            ("Defocus", {}),
            ("AdvancedBlur", {"blur_limit": (3, 15)}),
        ),
        "deepinv MotionBlurGenerator, noise": deepinv_engine,
    }
    for half in (0, 1):
        listed[f"{UPPER_BOUND} ({half})"] = lambda half=half: upper_bound(half)
    for name, change in ablation().items():
        listed[f"{ABLATED}{name}"] = lambda name=name, change=change: ablated(name, change)
    for name in RECIPES:
        listed[name] = lambda name=name: recipe_engine(name, bs.load_recipe(name))
    return listed


# ------------------------------------------------------------------------------------------------------- ablation

WALK = {
    "kind": "random_walk_motion",
    "anxiety": {"log_uniform": [0.0005, 0.01]},
    "centripetal": {"uniform": [0.0, 0.7]},
    "big_shake": {"uniform": [0.0, 0.2]},
    "gaussian": {"uniform": [0.0, 10.0]},
    "heading_deg": {"uniform": [0.0, 360.0]},
}


def ablation() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """What differs from ``default`` in one factor: changes of its plain values."""

    def target(value: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda recipe: recipe.update(target=value)

    def of_target(**fields: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda recipe: recipe.update(target={**recipe["target"], **fields})

    def step(name: str, **fields: Any) -> Callable[[dict[str, Any]], Any]:
        def change(recipe: dict[str, Any]) -> None:
            (entry,) = (entry for entry in recipe["step"] if entry["name"] == name)
            for field_name, value in fields.items():
                entry.pop(field_name, None) if value is None else entry.update({field_name: value})

        return change

    def without(*names: str) -> Callable[[dict[str, Any]], Any]:
        return lambda recipe: recipe.update(step=[entry for entry in recipe["step"] if entry["name"] not in names])

    def replaced(name: str, *entries: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
        def change(recipe: dict[str, Any]) -> None:
            steps = [(entries if entry["name"] == name else (entry,)) for entry in recipe["step"]]
            recipe.update(step=[entry for group in steps for entry in group])

        return change

    def after(name: str, *entries: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
        def change(recipe: dict[str, Any]) -> None:
            place = [entry["name"] for entry in recipe["step"]].index(name) + 1
            recipe["step"][place:place] = entries

        return change

    def walks(*lengths: tuple[float, float, float]) -> Callable[[dict[str, Any]], Any]:
        options = [{"weight": w, **WALK, "length_px": {"uniform": [low, high]}} for w, low, high in lengths]
        return replaced("shake", {"name": "shake", "one_of": options})

    sharpen = {
        "name": "sharpen",
        "kind": "sharpen",
        "probability": 0.8,
        "sigma_px": {"log_uniform": [0.6, 1.5]},
        "amount": {"uniform": [0.2, 1.5]},
        "limit_codes": {"uniform": [10.0, 40.0]},
    }
    lamps = {
        "name": "lamps",
        "kind": "highlight_expansion",
        "peak": {"log_uniform": [1.5, 6.0]},
        "threshold": {"uniform": [0.9, 0.98]},
    }
    camera = {"name": "camera", "kind": "set_intrinsics", "focal_length_mm": 4.2, "pixel_pitch_um": 4.2}
    roll = {
        "kind": "rolling_shutter",
        "exposure_s": {"log_uniform": [0.01, 0.1]},
        "readout_s": {"uniform": [0.008, 0.03]},
        **{f"{axis}_mrad": {"log_uniform": [1.0, 40.0]} for axis in ("pitch", "yaw", "roll")},
    }
    objects = {
        "name": "objects",
        "kind": "random_objects",
        "spacing_px": {"log_uniform": [100.0, 300.0]},
        "size_px": {"log_uniform": [50.0, 240.0]},
    }
    traffic = {
        "name": "traffic",
        "kind": "object_motion",
        "length_px": {"log_uniform": [2.0, 30.0]},
        "slowest": {"uniform": [0.0, 1.0]},
        "still_fraction": {"uniform": [0.0, 0.6]},
        "angle_deg": {"uniform": [0.0, 360.0]},
        "spread_deg": 180.0,
    }
    noiseless = {"shot_noise": False, "rounding": False, "read_noise_e": 0.0, "row_noise_e": 0.0}
    return {
        "default": lambda recipe: None,
        "sharp picture: the scene": target("scene"),
        "sharp picture: the source": target("source"),
        "sharp picture: a tenth of the exposure": of_target(fraction=0.1),
        "sharp picture: a fourth of the noise": of_target(noise=0.25),
        "sharp picture: its own JPEG quality": of_target(quality=None),
        "sharp picture: without the lens": of_target(without=["lens", "pixels"]),
        "no lens": without("lens"),
        "more noise": step("sensor", full_well_e={"log_uniform": [250.0, 20000.0]}),
        "no noise": step("sensor", **noiseless),
        "no noise, no noise reduction": lambda recipe: (
            step("sensor", **noiseless)(recipe),
            without("denoise")(recipe),
        ),
        "no mosaic": step("sensor", mosaic=None),
        "no JPEG": without("jpeg"),
        "stronger JPEG": step("jpeg", quality={"integer": [60, 90]}),
        "sharpening": after("denoise", sharpen),
        "blur of codes, not of light": lambda recipe: [
            replaced(name, {"name": name, "kind": kind, "gamma": 1.0})(recipe)
            for name, kind in (("decode", "gamma_decode"), ("encode", "gamma_encode"))
        ],
        "paths up to 20 px": walks((1, 0, 20)),
        "paths up to 120 px": walks((1, 0, 120)),
        "a third without blur": lambda recipe: step("shake", probability=2 / 3)(recipe),
        "all with blur": walks((3, 0, 12), (4, 12, 70)),
        "rolling shutter instead of one path": lambda recipe: (
            after("decode", camera)(recipe),
            replaced("shake", {"name": "shake", **roll})(recipe),
        ),
        "moving objects, too": after("decode", objects, traffic),
        "lamps beyond white": after("decode", lamps),
    }


ABLATED = "default; "  # begins the names of its ablations


def ablated(name: str, change: Callable[[dict[str, Any]], Any]) -> Engine:
    values = deepcopy(bs.load_recipe("default").to_dict())
    values["target"] = as_target(values["target"]).to_dict()
    change(values)
    return recipe_engine(f"{ABLATED}{name}", bs.Recipe.from_dict(values))


RECIPES = (
    *("deblurgan", "motion-only", "steady-hand", "default", "mixed", "handheld-video"),
    *("gopro-average", "gopro", "realblur", "rsblur", "sbdd"),
)


# ------------------------------------------------------------------------------------------------------- training


def network(seed: int) -> Network:
    torch.manual_seed(seed)
    return create_network("drunet", "small")


def batches(pairs: Pairs, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops of the pairs, turned and mirrored, for ever; each pair once before any is seen again."""
    sharp, blurred = pairs
    rng = np.random.default_rng((seed, 1))
    while True:
        for chosen in np.split(order := rng.permutation(len(sharp)), range(BATCH, len(order), BATCH)):
            if len(chosen) < BATCH:
                continue
            cut = []
            for number in chosen:
                row, column = (rng.integers(size - PATCH_PX + 1) for size in sharp.shape[1:3])
                turns, mirror = rng.integers(4), rng.integers(2)
                for stack in (blurred, sharp):
                    patch = np.rot90(stack[number, row : row + PATCH_PX, column : column + PATCH_PX], turns)
                    cut.append(patch[:, ::-1] if mirror else patch)
            values = torch.from_numpy(np.stack(cut).astype(np.float32) / 255.0).permute(0, 3, 1, 2)
            yield values[::2].contiguous(), values[1::2].contiguous()


def trained(pairs: Pairs, seed: int, *, steps: int = STEPS) -> Network:
    """The mean of the network's weights over the last steps (EMA)."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model = network(seed)
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, BETA2), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, steps, pct_start=WARMUP_STEPS / steps, div_factor=20, final_div_factor=50
    )
    for step, (blurred, sharp) in zip(range(steps), batches(pairs, seed), strict=False):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16()):
            restored = model(blurred)
        error = restored.float() - sharp
        loss = 20 * error.square().mean()  # of large errors rather than many: of blur rather than noise
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        schedule.step()
        mean.update_parameters(model)
        if step % 500 == 0:
            print(f"  step {step}, loss {float(loss.detach()):.4f}", flush=True)
    found: Network = mean.module
    return found.eval()


def bfloat16() -> bool:
    """Whether this processor multiplies bfloat16; twice as fast, and the seeds differ by more than the precision."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


# ------------------------------------------------------------------------------------------------------- measuring


def restored(model: Network, picture: Tensor) -> Tensor:
    """In whole codes, as it would be written."""
    with torch.no_grad():
        return (model(picture).clamp(0, 1) * 255).round() / 255


def measured(model: Network, half: int | None) -> dict[str, Any]:
    """Gain in dB on each real pair, and PSNR of what becomes of sharp pictures against themselves."""
    every = list(real_pairs(real_data()))
    pairs = every if half is None else [part for pair in every if (part := pair.half(half))]
    gains = {pair.name: score(restored(model, pair.blurred), pair) - score(pair.blurred, pair) for pair in pairs}
    psnr = metric("psnr")
    harm = {
        group: [float(psnr(restored(model, picture), picture)) for picture in pictures]
        for group, pictures in sharp_photographs(real_data()).items()
    }
    return {"gain_db": gains, "unharmed_db": harm}


# ------------------------------------------------------------------------------------------------------- runs


def read(path: Path) -> Codes:
    codes = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(codes[..., ::-1])


def photographs() -> list[Path]:
    """Those of scikit-image, and the sharp ones of ``make photographs``."""
    listed = sorted((Path(__file__).parents[1] / "photographs" / "sharp").glob("*.jpg"))
    if not listed:
        sys.exit("There are no photographs to train on: run make photographs first.")
    return [*bundled_photographs("training"), *listed]


def prepared(paths: Sequence[Path]) -> list[Path]:
    """The photographs, reduced in linear light so that they are sharp and as large as pictures usually shown."""
    folder = OUT / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for path in paths:
        file = folder / f"{path.stem}.png"
        made.append(file)
        if file.exists():
            continue
        frame = bs.read_frame(path)
        factor = max(1, min(8, max(frame.size_px) // LONG_SIDE_PX))
        small = bs.downscale(frame, factor) if factor > 1 else frame
        bs.write_picture(file, small)
    return made


def job(engine: Engine, seed: int) -> dict[str, Any]:
    """One run: the pairs, the training, the measuring. What it found is read where it was run before."""
    name = slug(engine, seed)
    found = OUT / f"{name}.json"
    if found.exists():
        return dict(json.loads(found.read_text("utf-8")))
    started = time.process_time()
    pairs = engine.make(prepared(photographs()), seed)
    made = time.process_time()
    model = trained(pairs, seed)
    done = time.process_time()
    save_file(model.state_dict(), OUT / f"{name}.safetensors")
    difference = np.square(pairs[0].astype(np.float32) - pairs[1]).mean(axis=(1, 2, 3))
    result = {
        "engine": engine.name,
        "seed": seed,
        **measured(model, engine.measured_half),
        "psnr_of_pairs_db": float(np.median(20 * np.log10(255 / np.sqrt(np.maximum(difference, 1e-2))))),
        "seconds": {"pairs": made - started, "training": done - made},
    }
    found.write_text(json.dumps(result, indent=1), "utf-8")
    return result


def slug(engine: Engine, seed: int) -> str:
    """The name of a run's files, which changes with all that its result depends on."""
    budget = (
        STEPS,
        BATCH,
        PATCH_PX,
        PAIRS,
        PAIR_PX,
        LEARNING_RATE,
        WARMUP_STEPS,
        EMA_DECAY,
        BETA2,
        CLIP_NORM,
        MIN_DETAIL,
    )
    text = json.dumps([engine.key, budget], sort_keys=True, default=str)
    name = "".join(sign if sign.isalnum() else "-" for sign in engine.name)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}-{seed}"


def run_all(names: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """All runs, each in a process of one thread."""
    OUT.mkdir(parents=True, exist_ok=True)
    prepared(photographs())  # once, before processes would all do it
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

    def run(name: str, seed: int) -> dict[str, Any]:
        engine = find(name)
        if not (OUT / f"{slug(engine, seed)}.json").exists():
            words = [sys.executable, __file__, "--job", name, str(seed)]
            with (OUT / f"{slug(engine, seed)}.log").open("w") as log:
                print(f"{name}, seed {seed} ...", flush=True)
                subprocess.run(words, check=True, env=environment, stdout=log, stderr=subprocess.STDOUT)
        return job(engine, seed)

    with ThreadPoolExecutor(max_workers=cores()) as pool:
        return list(pool.map(lambda each: run(*each), [(name, seed) for seed in seeds for name in names]))


def find(name: str) -> Engine:
    """An engine by its name, or the recipe of a file."""
    if name.endswith(".toml"):
        return recipe_engine(Path(name).stem, bs.load_recipe(name))
    return engines()[name]()


def report(results: Sequence[Mapping[str, Any]]) -> str:
    """One row per engine: mean gain over its seeds, and the least and greatest."""
    pairs = list(real_pairs(real_data()))
    groups = list(dict.fromkeys(pair.group for pair in pairs))
    rows = []
    for engine in dict.fromkeys(result["engine"] for result in results):
        runs = [result for result in results if result["engine"] == engine]
        seeds = sorted({run["seed"] for run in runs})
        by_pair = {name: [_mean(runs, name, seed) for seed in seeds] for name in (pair.name for pair in pairs)}
        row = [engine, f"{len(seeds)}"]
        for group in groups:
            names = [pair.name for pair in pairs if pair.group == group]
            gains = np.mean([by_pair[name] for name in names], axis=0)
            spread = f" ({min(gains):+.2f} .. {max(gains):+.2f})" if len(seeds) > 1 else ""
            row.append(f"{np.mean(gains):+.2f}{spread}")
        row.append(f"{sum(np.mean(gains) < 0 for gains in by_pair.values())}")
        row += [f"{np.mean([run['unharmed_db'][group] for run in runs]):.1f}" for group in runs[0]["unharmed_db"]]
        row.append(f"{np.mean([run['psnr_of_pairs_db'] for run in runs]):.1f}")
        row.append(f"{np.mean([sum(run['seconds'].values()) for run in runs]) / 60:.1f}")
        rows.append(row)
    header = [
        "trained on",
        "seeds",
        *(f"{group}{' *' * (group in TUNED_ON)}" for group in groups),
        "pairs that lose",
        *results[0]["unharmed_db"],
        "dB of its pairs",
        "min",
    ]
    return table(header, rows)


def _mean(runs: Sequence[Mapping[str, Any]], pair: str, seed: int) -> float:
    """The gain on a pair with a seed; the upper bound has a run for each half."""
    found = [run["gain_db"][pair] for run in runs if run["seed"] == seed and pair in run["gain_db"]]
    return float(np.mean(found)) if found else float("nan")


def section(title: str, results: Sequence[Mapping[str, Any]]) -> str:
    """A part of BENCHMARKS.md."""
    precision = "bfloat16" if bfloat16() else "float32"
    return (
        f"## {title}\n\n{machine()}; {version('torch')}, {precision}. A `drunet` of size `small`, {STEPS} steps of "
        f"{BATCH} patches of {PATCH_PX} px, {PAIRS} pairs from {len(photographs())} photographs, "
        "one or more seeds. Gain in dB on real pairs, mean of the seeds (least .. "
        f"greatest): {protocol()} Then PSNR of what becomes of sharp pictures against themselves, the median PSNR of "
        "the pairs, and minutes of one core. * Recipes were tuned with these in sight.\n\n"
        f"{report(results)}"
    )


def main(arguments: Sequence[str] = ()) -> str:
    """The section of BENCHMARKS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="engines, or recipes as .toml files; by default all engines")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="number of seeds")
    parser.add_argument("--list", action="store_true", help="print the names of the engines")
    parser.add_argument("--job", nargs=2, metavar=("ENGINE", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.list:
        return "\n".join(engines())
    if options.job:
        torch.set_num_threads(1)
        warnings.filterwarnings("ignore", category=UserWarning)
        job(find(options.job[0]), int(options.job[1]))
        return ""
    results = run_all(options.names or [n for n in engines() if ABLATED not in n], SEEDS[: options.seeds])
    (OUT / "training_value.json").write_text(json.dumps(results, indent=1), "utf-8")
    return section("Training value", results)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
