"""All benchmarks, written to BENCHMARKS.md: ``make bench``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

HEAD = """# Benchmarks

Written by `make bench`. Every table compares with peers measured in the same run, and names their versions, the
machine and the largest difference of results. Ratios carry over to other machines, seconds do not.
"""

PARTS = (
    "uniform_blur",
    "varying_blur",
    "warp",
    "trajectory_kernels",
    "defocus",
    "noise",
    "pipeline",
    "reading",
    "real_data",
)


def main() -> None:
    chosen = sys.argv[1:] or PARTS
    parts = []
    for name in chosen:
        print(f"{name} ...", flush=True)
        parts.append(import_module(name).main())
    text = "\n\n".join([HEAD.strip(), *parts]) + "\n"
    if tuple(chosen) == PARTS:
        (Path(__file__).resolve().parents[1] / "BENCHMARKS.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
