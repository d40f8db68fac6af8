"""Pages of kinds and recipes with their pictures, made from the registries: a new one has its page by being there."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from roles import to_markdown

import blursynth as bs
from blursynth.cli.kinds import describe_fields
from blursynth.dataset.contact_sheet import describe_draw, kernel_picture, points_of_light
from blursynth.physics.color import srgb_codes

SIDE_PX = 256
DETAIL = (slice(34, 98), slice(96, 160))  # what enlarged details show: an eye
Codes = NDArray[np.uint8]  # [H, W, 3]
Pages = Iterator[tuple[str, str | bytes]]  # path on the site, content

VALUE = """
## What a network learns from it

Gain in dB on real photographs of a small network that was trained on pairs of this recipe, and what it does to sharp
ones; [Training value](../../training-value.md) says how, and compares with others.

{}
"""

_GROUPS = {
    "scene": "Scene",
    "motion": "Motion",
    "lens": "Lens",
    "sensor": "Sensor",
    "tone": "Tone",
    "file": "File",
    "published": "As published",
}


def group(kind: type[bs.Degradation]) -> str:
    """Part of the camera that a kind belongs to: the folder that it lies in."""
    parts = kind.__module__.split(".")
    return _GROUPS.get(parts[2], "Scene") if parts[1] == "degradations" and len(parts) > 3 else "Scene"


def grouped_kinds() -> dict[str, list[type[bs.Degradation]]]:
    """Kinds of every part of the camera, in the order of light."""
    return {name: [kind for kind in bs.kinds.ALL if group(kind) == name] for name in _GROUPS.values()}


# Pictures


@cache
def photograph(name: str) -> bs.Frame:
    """One of scikit-image's photographs, 256 px on a side, before a camera of 1,500 px focal length."""
    pixels = getattr(skimage.data, name)()
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    small = np.asarray(square.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))
    frame = bs.Frame.from_uint8(small)
    return bs.kinds.SetIntrinsics(focal_length_mm=4.2, pixel_pitch_um=2.8)(frame)


@cache
def scene(encoding: bs.Encoding) -> bs.Frame:
    """The picture that kinds act on, with depth and objects: the wall goes away to the top, disks stand before it."""
    if encoding is bs.Encoding.RAW:
        return bs.kinds.Sensor.example()(scene(bs.Encoding.LINEAR))
    frame = photograph("astronaut")
    frame = bs.kinds.PlaneDepth(distance_m=1.0, tilt_deg=70.0, azimuth_deg=270.0)(frame)
    frame = bs.kinds.RandomObjects(spacing_px=90.0, size_px=70.0, seed=2)(frame)
    return frame if encoding is bs.Encoding.DISPLAY else bs.kinds.Decode()(frame)


def codes(frame: bs.Frame, *, as_numbers: bool = False) -> Codes:
    """The picture for the eye: light is encoded, unless its numbers themselves are to be seen."""
    image = np.asarray(frame.image[0], np.float64)
    if frame.raw is not None and frame.encoding is bs.Encoding.RAW:
        image = (image - frame.raw.black_dn[0]) / (frame.raw.white_dn[0] - frame.raw.black_dn[0])
    image = np.moveaxis(np.repeat(image, 3, axis=0) if len(image) == 1 else image, 0, -1)
    if as_numbers or frame.encoding is bs.Encoding.DISPLAY:
        return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return np.asarray(srgb_codes(np.clip(image, 0, 1)), np.uint8)


def depth_codes(frame: bs.Frame) -> Codes:
    """Depth as gray, near is bright; objects in colors where there is no depth."""
    if frame.depth_m is not None:
        near = 1 / np.asarray(frame.depth_m[0], np.float64)
        gray = np.rint(255 * (near - near.min()) / max(float(np.ptp(near)), 1e-9)).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    assert frame.labels is not None
    colors = np.random.default_rng(3).integers(60, 240, (int(frame.labels.max()) + 1, 3)).astype(np.uint8)
    colors[0] = 30
    return colors[frame.labels[0]]


def curve_codes(step: bs.Degradation) -> Codes:
    """What becomes of the numbers 0..1."""
    takes = type(step).takes
    assert takes is not None
    ramp = np.broadcast_to(np.linspace(0, 1, SIDE_PX, dtype=np.float32), (1, 3, 1, SIDE_PX)).copy()
    values = step(bs.Frame(ramp, takes)).image[0, 1, 0]
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), (250, 250, 248))
    pen = ImageDraw.Draw(picture)
    for part in range(1, 4):
        at = part * SIDE_PX // 4
        pen.line([(at, 0), (at, SIDE_PX), (0, SIDE_PX - at), (SIDE_PX, SIDE_PX - at)][:2], fill=(225, 225, 225))
        pen.line([(0, at), (SIDE_PX, at)], fill=(225, 225, 225))
    points = [(x, (SIDE_PX - 1) * (1 - float(np.clip(y, 0, 1)))) for x, y in enumerate(values)]
    pen.line(points, fill=(200, 110, 0), width=3)
    return np.asarray(picture)


def points_codes(points: NDArray[np.floating[Any]]) -> Codes:
    shown = np.sqrt(np.clip(points / max(float(points.max()), 1e-300), 0, 1))
    return np.repeat(np.rint(255 * shown).astype(np.uint8)[:, :, None], 3, axis=2)


def detail(picture: Codes) -> Codes:
    return picture[DETAIL].repeat(4, axis=0).repeat(4, axis=1)


@cache
def kind_pictures(kind: type[bs.Degradation]) -> list[tuple[str, Codes]]:
    """(caption, picture): before, after, and what shows best what the kind does."""
    step = kind.example()
    if kind.sets_geometry:
        return _geometry_pictures(step)
    before = scene(kind.takes or bs.Encoding.LINEAR)
    after = step(before)
    turned = kind.takes is not kind.gives and bs.Encoding.RAW not in (kind.takes, kind.gives)
    first, second = codes(before, as_numbers=turned), codes(after, as_numbers=turned)
    pictures = [("before", first), ("after", second)]
    draw = bs.Draw((("step", step),))
    if turned:
        return [*pictures, ("numbers 0..1 before, to the right; after, upward", curve_codes(step))]
    if kind.varies:
        return [*pictures, ("what points of light become", points_codes(points_of_light(draw, before)))]
    if step.point_spread() is not None:
        return [*pictures, ("kernel, enlarged; square roots of the weights", kernel_picture(draw.kernel(), SIDE_PX))]
    if float(np.max(after.image)) > 1.5 and after.encoding is bs.Encoding.LINEAR:
        return [*pictures, ("after, an eighth of the light", codes(after.with_image(after.image / 8)))]
    return [*pictures, ("before, enlarged", detail(first)), ("after, enlarged", detail(second))]


def _geometry_pictures(step: bs.Degradation) -> list[tuple[str, Codes]]:
    """What a step makes of a picture without maps; of a noisy map of depth where it makes nothing of that."""
    picture = photograph("coffee")
    after = step(picture)
    if after.depth_m is not None:
        return [("the picture stays", codes(after)), ("depth, near is bright", depth_codes(after))]
    if after.labels is not None:
        return [("the picture stays", codes(after)), ("objects", depth_codes(after))]
    layers = bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, seed=1)(picture)
    assert layers.depth_m is not None
    noise = np.random.default_rng(0).normal(0, 0.02, layers.depth_m.shape)
    noisy = layers.with_image(layers.image, depth_m=(layers.depth_m * (1 + noise)).astype(np.float32))
    smooth = step(noisy)
    if np.array_equal(smooth.depth_m, noisy.depth_m):
        return [("no pixel changes", codes(picture))]
    return [("noisy depth", depth_codes(noisy)), ("after", depth_codes(smooth))]


def webp(picture: Codes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=88, method=4)
    return file.getvalue()


def figures(pictures: Sequence[tuple[str, str]]) -> str:
    """Pictures beside each other: (caption, address)."""
    each = (
        f"<figure>{image(address, caption)}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, address in pictures
    )
    return f'<div class="pictures">{"".join(each)}</div>'


def image(address: str, text: str = "") -> str:
    return f'<img src="{address}" alt="{html.escape(text)}" loading="lazy" width="{SIDE_PX}" height="{SIDE_PX}">'


# Pages


def summary(text: str | None) -> str:
    """The first paragraph of a docstring, on one line and as Markdown."""
    return to_markdown(" ".join((text or "").strip().partition("\n\n")[0].split()))


def plain(text: str | None) -> str:
    """The same as text alone."""
    return re.sub(r"<[^>]+>|`", "", summary(text))


def _value(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | str) else repr(value)


def shown_fields(step: bs.Degradation) -> dict[str, Any]:
    """Fields that a line of code has to give, or that the example has otherwise than by default."""
    return {
        name: value
        for name, value in step.fields().items()
        if name != "seed" and value != type(step).model_fields[name].default
    }


def python_lines(step: bs.Degradation) -> str:
    arrays = {name for name, value in step.fields().items() if str(value).startswith("sha256:")}
    lines = [f'{name} = bs.assets.register(bs.read_arrays("{name}.npy")[0])' for name in sorted(arrays)]
    given = [f"{name}={name if name in arrays else repr(value)}" for name, value in shown_fields(step).items()]
    seed = ["seed=1"] if "seed" in type(step).model_fields else []
    call = f"bs.kinds.{type(step).__name__}({', '.join([*given, *seed])})"
    if len(call) > 78:
        inside = "".join(f"    {word},\n" for word in [*given, *seed])
        call = f"bs.kinds.{type(step).__name__}(\n{inside})"
    return "\n".join(["import blursynth as bs", "", *lines, f"step = {call}", "after = step(frame)"])


def toml_lines(step: bs.Degradation) -> str:
    """The step in a recipe, its first number drawn. What is written here is read back, so it is valid."""
    lines, drawn, values = ["[[step]]", f'kind = "{step.kind}"'], False, {"kind": step.kind}
    for name, value in shown_fields(step).items():
        plain, text = value, _value(value)
        if str(value).startswith("sha256:"):
            text = f'{{ file = "{name}.npy" }}'
        elif not drawn and not isinstance(value, bool | str):
            drawn = True
            low = value // 2 if isinstance(value, int) else value / 2
            word = "integer" if isinstance(value, int) else "uniform"
            text, plain = f"{{ {word} = [{low}, {value}] }}", {word: [low, value]}
        lines.append(f"{name} = {text}")
        values[name] = plain
    bs.Recipe.from_dict({"step": [values]})
    return "\n".join(lines)


def recipes_with(kind: type[bs.Degradation]) -> list[str]:
    return [name for name in bs.recipe_names() if any(kind in s.kinds() for _, s in bs.load_recipe(name).steps)]


def kind_page(kind: type[bs.Degradation]) -> Pages:
    step, pictures = kind.example(), kind_pictures(kind)
    names = [f"{kind.kind}-{number}.webp" for number in range(len(pictures))]
    for name, (_, picture) in zip(names, pictures, strict=True):
        yield f"gallery/pictures/{name}", webp(picture)
    rows = list(describe_fields(kind))
    table = ["| field | unit | range | default | meaning |", "|---|---|---|---|---|"]
    table += [f"| `{name}` | {unit} | {span} | {default} | {meaning} |" for name, unit, span, default, meaning in rows]
    frame = "any encoding" if kind.takes is None else str(kind.takes)
    gives = "" if kind.takes is kind.gives else f", gives {kind.gives}"
    used = ", ".join(f"[{name}](../recipes/{name}.md)" for name in recipes_with(kind))
    addresses = [(caption, f"../pictures/{name}") for name, (caption, _) in zip(names, pictures, strict=True)]
    python, toml = (text.replace("\n", "\n    ") for text in (python_lines(step), toml_lines(step)))
    yield (
        f"gallery/kinds/{kind.kind}.md",
        f"""# {kind.kind}

{figures(addresses)}

::: {kind.__module__}.{kind.__name__}
    options:
      members: false
      show_root_heading: false
      merge_init_into_class: false

Takes {frame}{gives}. The pictures were made with the numbers below.

=== "Python"

    ```python
    {python}
    ```

=== "Recipe"

    ```toml
    {toml}
    ```

=== "Command line"

    ```sh
    blursynth kinds {kind.kind}
    ```

## Fields

{chr(10).join(table) if rows else "It has no fields."}

{f"Recipes with it: {used}." if used else "No recipe that ships uses it."}
""",
    )


@cache
def training_values() -> dict[str, str]:
    """What networks learn from each recipe, of those that were measured, as two lines of a table."""
    page = (Path(__file__).parents[1] / "BENCHMARKS.md").read_text("utf-8")
    _, _, part = page.partition("<!-- training_value -->")
    rows = [line for line in part.partition("<!--")[0].splitlines() if line.startswith("|")]
    return {row.split("|")[1].strip(" `"): "\n".join([*rows[:2], row]) for row in rows[2:]}


def recipe_page(name: str) -> Pages:
    recipe = bs.load_recipe(name)
    parts = []
    for index, source in enumerate(("astronaut", "coffee", "rocket")):
        frame = photograph(source)
        draw = recipe.sample(frame, seed=7, index=index)
        pair = draw.pair(frame)
        if any(step.varies for _, step in draw.steps):
            third = ("what points of light become", points_codes(points_of_light(draw, frame)))
        else:
            third = ("kernel, enlarged", kernel_picture(draw.kernel(), SIDE_PX))
        shown = []
        pictures = (("sharp", codes(pair.sharp)), ("blurred", codes(pair.blurred)), third)
        for part, (caption, picture) in zip("abc", pictures, strict=True):
            path = f"gallery/pictures/recipe-{name}-{index}{part}.webp"
            shown.append((caption, f"../../{path}"))
            yield path, webp(picture)
        numbers = "\n".join(f"    - **{step}** {text}" for step, text in describe_draw(draw, recipe))
        parts.append(f'{figures(shown)}\n\n??? note "Numbers of this draw"\n\n{numbers}\n')
    text = (resources.files("blursynth.recipe") / f"{name}.toml").read_text("utf-8")
    kinds = dict.fromkeys(kind.kind for _, sampler in recipe.steps for kind in sampler.kinds())
    yield (
        f"gallery/recipes/{name}.md",
        f"""# {name}

{recipe.summary}.

{chr(10).join(parts)}

```sh
blursynth preview photo.jpg --recipe {name}
```

{f"Source: {recipe.source}." if recipe.source else ""}

Kinds in it: {", ".join(f"[{kind}](../kinds/{kind}.md)" for kind in kinds)}.
{VALUE.format(training_values()[name]) if name in training_values() else ""}
## The file

```toml
{text.strip()}
```
""",
    )


def cards(entries: Sequence[tuple[str, str, str, str]]) -> str:
    """(address, picture, name, text)."""
    each = (
        f'<a href="{address}">{image(picture)}<strong>{name}</strong><span>{html.escape(text)}</span></a>'
        for address, picture, name, text in entries
    )
    return f'<div class="cards">{"".join(each)}</div>'


def index_page() -> str:
    recipes = [
        (f"recipes/{name}.html", f"pictures/recipe-{name}-0b.webp", name, bs.load_recipe(name).summary)
        for name in bs.recipe_names()
    ]
    parts = [
        "# Gallery",
        "Every kind of step and every recipe that ships, made from the registry when the site is built. The "
        "photographs come with scikit-image; depth and objects are made up.",
        "## Recipes",
        cards(recipes),
    ]
    for title, kinds in grouped_kinds().items():
        shown = [(kind.kind, min(1, len(kind_pictures(kind)) - 1), plain(kind.__doc__)) for kind in kinds]
        entries = [(f"kinds/{name}.html", f"pictures/{name}-{n}.webp", name, text) for name, n, text in shown]
        parts += [f"## {title}", cards(entries)]
    return "\n\n".join(parts)


def pages() -> Pages:
    """Every page and picture of the gallery."""
    for kind in bs.kinds.ALL:
        yield from kind_page(kind)
    for name in bs.recipe_names():
        yield from recipe_page(name)
    yield "gallery/index.md", index_page()


def nav() -> list[Any]:
    """The gallery's part of the navigation."""
    kinds = {title: [{k.kind: f"gallery/kinds/{k.kind}.md"} for k in ks] for title, ks in grouped_kinds().items()}
    recipes = [{name: f"gallery/recipes/{name}.md"} for name in bs.recipe_names()]
    return ["gallery/index.md", {"Recipes": recipes}, *({title: listed} for title, listed in kinds.items())]
