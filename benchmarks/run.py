"""All benchmarks, written to BENCHMARKS.md: ``make bench``; or some: ``python benchmarks/run.py warp defocus``.

``python benchmarks/run.py guard`` says whether something has become slower (``guard.py``), and writes nothing there.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

HEAD = """# Benchmarks

Written by `make bench`. Every table compares with peers measured in the same run, and names their versions, the
machine and the largest difference of results. Ratios carry over to other machines, seconds do not.
"""

PARTS = (
    "first_use",
    "uniform_blur",
    "varying_blur",
    "warp",
    "trajectory_kernels",
    "defocus",
    "depth_edges",
    "depth_smoothing",
    "scene_light",
    "noise",
    "development",
    "pipeline",
    "camera",
    "recipe_noise",
    "reading",
    "throughput",
    "survival",
    "clusters",
    "scale",
    "real_data",
    "recipe_motion",
    "detection",
    "prefilter",
    "serving",
)
# Only when they are named.
LONG_PARTS = (
    "export", "quantization", "pruning", "distillation", "training", "training_value", "training_ablation", "fit",
)  # fmt: skip


PAGE = Path(__file__).resolve().parents[1] / "BENCHMARKS.md"


def marked(name: str) -> str:
    return f"<!-- {name} -->"


def read_page() -> dict[str, str]:
    """The parts of the page that is there, by their names."""
    if not PAGE.exists():
        return {}
    pieces = re.split(r"^<!-- (\w+) -->\n", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], (text.strip() for text in pieces[2::2]), strict=True))


def main() -> None:
    if sys.argv[1:2] == ["guard"]:
        sys.exit(import_module("guard").main(update="--update" in sys.argv))
    parts = read_page()
    for name in sys.argv[1:] or PARTS:
        print(f"{name} ...", flush=True)
        parts[name] = import_module(name).main()
        print(parts[name], flush=True)
        # What is measured is kept, whatever happens to the next part.
        page = [HEAD.strip(), *(f"{marked(part)}\n{parts[part]}" for part in (*PARTS, *LONG_PARTS) if part in parts)]
        PAGE.write_text("\n\n".join(page) + "\n", "utf-8")


if __name__ == "__main__":
    main()
