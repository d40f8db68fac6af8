"""The data card (README.md) and the Croissant metadata: what a data set is, for people and for catalogues."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from blursynth.dataset.files import write_atomically
from blursynth.dataset.schema import Spec
from blursynth.text import printable

__all__ = ["write_card"]


def write_card(out: Path, spec: Spec, index: dict[str, Any]) -> None:
    """Write ``README.md`` and ``croissant.json``."""
    write_atomically(out / "README.md", _card(printable(out.name), spec, index).encode())
    text = json.dumps(_croissant(printable(out.name), spec, index), indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / "croissant.json", text.encode())


def _licences(spec: Spec) -> Counter[str]:
    return Counter(source.licence or "not stated in the file" for source in spec.sources)


def _card(name: str, spec: Spec, index: dict[str, Any]) -> str:
    quoted = json.dumps  # a JSON text is a YAML text
    summary = spec.recipe.get("summary", "") or spec.recipe_name
    steps = "\n".join(f"| {s.get('name', s.get('kind'))} | `{json.dumps(_fields(s))}` |" for s in spec.recipe["step"])
    licences = "\n".join(f"| {what} | {number} |" for what, number in sorted(_licences(spec).items()))
    arrays = "\n".join(
        f"| `{a.name}` | {a.dtype} | {' x '.join(str(n) for n in (spec.count, *a.shape))} |" for a in spec.arrays
    )
    return f"""---
pretty_name: {quoted(name)}
license: other
task_categories:
- image-to-image
tags:
- deblurring
- image-restoration
- synthetic-blur
size_categories:
- {_size_category(spec.count)}
---

# {name}

{spec.count} aligned pairs of a sharp and a blurred picture, {spec.size_px} x {spec.size_px} px, made with
blursynth and the recipe **{spec.recipe_name}**: {summary}.

| array | type | shape |
|---|---|---|
{arrays}

Every number that made a sample stands in `draws/*.jsonl`: its source picture with sha256 and licence, the window, and
the parameters of each step.

## Open it

```python
import blursynth

dataset = blursynth.open_dataset({quoted(name)})
sample = dataset[0]
sample.sharp, sample.blurred, sample.draw
```

Any zarr 3 reader opens the arrays as well:

```python
import zarr

group = zarr.open_group({quoted(name)}, mode="r")
group["blurred"][0]
```

## How it was made

Seed {spec.seed}, {len(spec.sources)} source pictures, {spec.shards} shards of {spec.shard_length} samples.
{_light(spec)}{_maps(spec)}
| step | numbers and distributions |
|---|---|
{steps}

## Licences of the source pictures

The pairs are derived works of their sources. The licence of each is in its sample's record.

| licence | pictures |
|---|---|
{licences}

## Identity

| digest | sha256 |
|---|---|
| request (recipe, seed, sources, sizes) | `{spec.sha256()}` |
| pixels, in order of the samples | `{index["digest"]["pixels"]}` |
| draws, in order of the samples | `{index["digest"]["draws"]}` |
"""


def _light(spec: Spec) -> str:
    words = ""
    light = sum(source.is_light for source in spec.sources)
    if light:
        words += (
            f"\n{light} of them hold light and no codes of a display (HDR or linear files), and were not decoded.\n"
        )
    if spec.downscale > 1:
        words += (
            f"\nThey were made smaller by {spec.downscale} first, in linear light; windows lie in the smaller ones.\n"
        )
    return words


def _maps(spec: Spec) -> str:
    if not spec.has_maps:
        return ""
    kinds = [what for what, there in (("depth", spec.sources[0].depth), ("label", spec.sources[0].labels)) if there]
    form = f" The numbers of the depth maps mean: `{json.dumps(spec.depth_format)}`." if spec.depth_format else ""
    maps = " and its ".join(kinds)
    return f"\nEvery source picture came with its {maps} map; their sha256 stand in `dataset.json`.{form}\n"


def _fields(step: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in step.items() if key != "name"}


def _size_category(count: int) -> str:
    for limit, words in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M")):
        if count < limit:
            return words
    return "1M<n<10M"


def _croissant(name: str, spec: Spec, index: dict[str, Any]) -> dict[str, Any]:
    """Croissant 1.0 (mlcommons.org/croissant): the records as a record set, the arrays as files."""
    return {
        "@context": {
            "@language": "en",
            "@vocab": "https://schema.org/",
            "sc": "https://schema.org/",
            "cr": "http://mlcommons.org/croissant/",
            "dct": "http://purl.org/dc/terms/",
            "conformsTo": "dct:conformsTo",
            "data": {"@id": "cr:data", "@type": "@json"},
            "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
            "extract": "cr:extract",
            "field": "cr:field",
            "fileObject": "cr:fileObject",
            "fileSet": "cr:fileSet",
            "includes": "cr:includes",
            "jsonPath": "cr:jsonPath",
            "recordSet": "cr:recordSet",
            "source": "cr:source",
        },
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": f"{spec.count} aligned pairs of sharp and blurred pictures; recipe {spec.recipe_name}.",
        "license": sorted(_licences(spec)),
        "version": "1.0.0",
        "identifier": index["digest"]["pixels"],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "dataset.json",
                "name": "dataset.json",
                "contentUrl": "dataset.json",
                "encodingFormat": "application/json",
            },
            {
                "@type": "cr:FileSet",
                "@id": "draws",
                "name": "draws",
                "encodingFormat": "application/jsonlines",
                "includes": "draws/*.jsonl",
            },
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": array.name,
                    "name": array.name,
                    "description": f"zarr 3 array {array.dtype} {[spec.count, *array.shape]}",
                    "encodingFormat": "application/vnd+zarr",
                    "includes": f"{array.name}/**",
                }
                for array in spec.arrays
            ),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"samples/{field}",
                        "name": field,
                        "dataType": kind,
                        "source": {"fileSet": {"@id": "draws"}, "extract": {"jsonPath": f"$.{field}"}},
                    }
                    for field, kind in (
                        ("index", "sc:Integer"),
                        ("source", "sc:Text"),
                        ("source_sha256", "sc:Text"),
                        ("licence", "sc:Text"),
                    )
                ],
            }
        ],
    }
