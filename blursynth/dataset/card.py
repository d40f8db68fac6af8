"""The data card (README.md) and the Croissant metadata: what a data set is, for people and for catalogs.

Names, licenses and summaries come from untrusted files, and the card is a page that is published. Each of them is
therefore written as a code span, where Markdown and HTML have no effect, and without control characters.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blursynth.dataset.files import sha256_hex, write_atomically
from blursynth.dataset.schema import Spec
from blursynth.io.object_store import Place
from blursynth.records.text import printable

__all__ = ["write_card"]


NOT_STATED = "not stated in the file"
_MOST_LICENCES = 50  # listed in the card; the records hold all
_LONGEST = 500  # characters of one untrusted string


def write_card(out: Place, spec: Spec, digest: dict[str, str]) -> dict[str, str]:
    """Write ``README.md`` and ``croissant.json``; the sha256 of each by its name."""
    name = (out.resolve() if isinstance(out, Path) else out).name or "blursynth"
    card = _card(name, spec, digest).encode()
    described = {"dataset.json": spec.to_json(), "README.md": card}
    croissant = json.dumps(_croissant(name, spec, digest, described), indent=1, ensure_ascii=False, allow_nan=False)
    files = {"README.md": card, "croissant.json": f"{croissant}\n".encode()}
    for file, data in files.items():
        write_atomically(out / file, data)
    return {file: sha256_hex(data) for file, data in files.items()}


def _licenses(spec: Spec) -> Counter[str]:
    return Counter(source.license or NOT_STATED for source in spec.sources)


def _plain(text: object) -> str:
    """An untrusted string on one line, without control characters and of bounded length."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _code(text: object) -> str:
    """A span of code in a Markdown table or paragraph: nothing in it is a heading, a link, a picture or HTML.

    >>> print(_code("<b>![x](http://y)</b>"), _code("a`b"), _code("a|b"))
    `<b>![x](http://y)</b>` `` a`b `` `a\\x7cb`
    """
    # Tables are split at bars before code spans are found, and no escape of a bar works after a backslash.
    line = _plain(text).replace("|", "\\x7c")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    if not longest:
        return f"`{line}`" if line else "(none)"
    return f"{'`' * (longest + 1)} {line} {'`' * (longest + 1)}"


def _card(name: str, spec: Spec, digest: dict[str, str]) -> str:
    path = ascii(name)  # a Python string literal, whatever the name
    summary = spec.summary or spec.recipe.get("summary", "") or spec.recipe_name
    counted = Counter(source.credit or NOT_STATED for source in spec.sources).most_common(_MOST_LICENCES)
    licenses = "\n".join(f"| {_code(what)} | {number} |" for what, number in counted)
    arrays = "\n".join(
        f"| `{a.name}` | {a.dtype} | {' x '.join(str(n) for n in (spec.count, *a.shape))} |" for a in spec.arrays
    )
    made = "cut from the pairs of\nthe public set" if spec.is_real else "made with\nblursynth and the recipe"
    pairs = f"{spec.count} aligned pairs of a sharp and a blurred picture"
    draw = "" if spec.is_real else ", sample.draw"
    tag = "" if spec.is_real else "\n- synthetic-blur"
    of_each = "the blurred picture with sha256" if spec.is_real else "the parameters of each step"
    return f"""---
pretty_name: {json.dumps(_plain(name), ensure_ascii=False, allow_nan=False)}
license: {json.dumps(_plain(spec.license), ensure_ascii=False, allow_nan=False) if spec.license else "other"}
task_categories:
- image-to-image
tags:
- deblurring
- image-restoration{tag}
size_categories:
- {_size_category(spec.count)}
---

# {_code(name)}

{pairs}, {spec.size_px} x {spec.size_px} px, {made} {_code(spec.recipe_name)}: {_code(summary)}.

| array | type | shape |
|---|---|---|
{arrays}

Everything that made a sample is recorded in `draws/*.jsonl`: its source picture with sha256 and license, the window,
and {of_each}.

## Open it

```python
import blursynth

dataset = blursynth.open_dataset({path})
sample = dataset[0]
sample.sharp, sample.blurred{draw}
```

Any zarr 3 reader can open the arrays as well:

```python
import zarr

group = zarr.open_group({path}, mode="r")
group["blurred"][0]
```

## How it was made

{_cut(spec) if spec.is_real else _steps(spec)}
## Licenses of the source pictures

The pairs are derived works of their sources. The license of each is in its sample's record.

| license, author, address | pictures |
|---|---|
{licenses}

## Identity

| digest | sha256 |
|---|---|
| request (recipe, seed, sources, sizes) | `{spec.sha256()}` |
| pixels, in sample order | `{digest["pixels"]}` |
| draws, in sample order | `{digest["draws"]}` |
"""


def _cut(spec: Spec) -> str:
    """How real pairs were cut."""
    return (
        f"{len(spec.sources)} pairs were cut into the fewest windows of {spec.size_px} x {spec.size_px} px that cover\n"
        f"them, evenly spaced, their values unchanged; {spec.shards} shards of {spec.shard_length} samples.\n"
    )


def _steps(spec: Spec) -> str:
    """How the others were made."""
    steps = ""
    if "target" in spec.recipe:
        text = json.dumps(spec.recipe["target"], ensure_ascii=False, allow_nan=False)
        steps += f"| (the sharp picture) | {_code(text)} |\n"
    for step in spec.recipe["step"]:
        fields = {key: value for key, value in step.items() if key != "name"}
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
        steps += f"| {_code(step.get('name', step.get('kind')))} | {_code(text)} |\n"
    shards = f"{spec.shards} shards of {spec.shard_length} samples"
    return f"""Seed {spec.seed}, {len(spec.sources)} source pictures, {shards}.
{_light(spec)}{_maps(spec)}
| step | parameters and distributions |
|---|---|
{steps}"""


def _light(spec: Spec) -> str:
    words = ""
    if spec.min_detail is not None:
        words += (
            f"\nCrops that show less detail than {spec.min_detail:g} (the standard deviation of the Laplacian of luma, "
            "in 8-bit codes) were left out.\n"
        )
    light = sum(source.is_linear for source in spec.sources)
    if light:
        words += (
            f"\n{light} of them hold linear light, not display codes (HDR or linear files), and were not decoded.\n"
        )
    if spec.downscale > 1:
        words += f"\nThey were first downscaled by {spec.downscale} in linear light; windows refer to the result.\n"
    return words


def _maps(spec: Spec) -> str:
    if not spec.has_maps:
        return ""
    kinds = [what for what, there in (("depth", spec.sources[0].depth), ("label", spec.sources[0].labels)) if there]
    form = _code(json.dumps(spec.depth_format, allow_nan=False))
    form = f" Format of the depth maps: {form}." if spec.depth_format else ""
    maps = " and its ".join(kinds)
    return f"\nEvery source picture came with its {maps} map; their sha256 are recorded in `dataset.json`.{form}\n"


def _size_category(count: int) -> str:
    for limit, words in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M")):
        if count < limit:
            return words
    return "1M<n<10M"


def _croissant(name: str, spec: Spec, digest: dict[str, str], described: Mapping[str, bytes]) -> dict[str, Any]:
    """Croissant 1.0 (mlcommons.org/croissant): the records as a record set, the arrays as files."""
    media = {"dataset.json": "application/json", "README.md": "text/markdown"}
    licenses = [_plain(what) for what, _ in _licenses(spec).most_common(_MOST_LICENCES)]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": _plain(name),
        "description": f"{spec.count} aligned pairs of sharp and blurred pictures; "
        f"{'imported from' if spec.is_real else 'recipe'} {_plain(spec.recipe_name)}.",
        "license": _plain(spec.license) if spec.license else licenses[0] if len(licenses) == 1 else licenses,
        "version": "1.0.0",
        "identifier": digest["pixels"],
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": file,
                    "name": file,
                    "contentUrl": file,
                    "contentSize": f"{len(data)} B",
                    "encodingFormat": media[file],
                    "sha256": sha256_hex(data),
                }
                for file, data in described.items()
            ),
            {
                "@type": "cr:FileSet",
                "@id": "draws",
                "name": "draws",
                "description": "One record per line and sample: the parameters that made it, and hashes of its pixels.",
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
                        "name": f"samples/{field}",
                        "dataType": kind,
                        "source": {"fileSet": {"@id": "draws"}, "extract": {"column": field}},
                    }
                    for field, kind in (
                        ("index", "sc:Integer"),
                        ("source", "sc:Text"),
                        ("source_sha256", "sc:Text"),
                        ("license", "sc:Text"),
                    )
                ],
            }
        ],
    }


# The one that Croissant 1.0 prescribes: its own terms have the prefix "cr:".
_TERMS = (
    "@language", "@vocab", "citeAs", "column", "conformsTo", "cr", "rai", "data", "dataType", "dct",
    "equivalentProperty", "examples", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references",
    "regex", "repeated", "replace", "samplingRate", "sc", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT = {
    **{name: f"cr:{name}" for name in _TERMS},
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
}
