"""Fits NIQE's parameters to photographs: ``python -m deblur_models.metrics.niqe_parameters OUT.json [PHOTOGRAPHS...]``.

Without photographs, those of scikit-image are used (extra ``demo``), which produces the bundled file.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from blursynth.errors import require
from blursynth.io.pictures import read_frame
from deblur_models.metrics.niqe import NiqeParameters, fit_niqe

__all__ = ["BUNDLED", "HELD_OUT", "bundled_photograph", "fit_bundled"]

logger = logging.getLogger(__name__)

BUNDLED = ("astronaut", "camera", "rocket", "motorcycle", "grass", "brick", "gravel")
"""Photographs of scikit-image to which the bundled parameters are fitted."""

HELD_OUT = ("coffee", "chelsea")
"""Photographs of scikit-image on which they are tested."""

_SHARPNESS = 0.4  # seven photographs contain too few blocks for the .75 of the original


def bundled_photograph(name: str) -> Tensor:
    """A photograph of scikit-image, ``[3, H, W]``, 0..1; the left one of a stereo pair."""
    data = require("skimage.data", extra="demo", purpose="fitting NIQE to bundled photographs")
    picture = np.asarray(data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)())
    color = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture[..., :3]
    return torch.from_numpy(np.ascontiguousarray(color.transpose(2, 0, 1))).double() / 255


def fit_bundled() -> NiqeParameters:
    """The bundled parameters."""
    return fit_niqe(
        (bundled_photograph(name) for name in BUNDLED),
        source=f"photographs of scikit-image ({', '.join(BUNDLED)}); not comparable to published NIQE",
        sharpness=_SHARPNESS,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the parameter file, .json")
    parser.add_argument("photographs", nargs="*", type=Path, help="sharp photographs")
    parser.add_argument("--source", help="source of the statistics, shown in reports")
    chosen = parser.parse_args(arguments)
    if chosen.photographs:
        pictures = (torch.from_numpy(np.asarray(read_frame(path).image[0])) for path in chosen.photographs)
        parameters = fit_niqe(pictures, source=chosen.source or f"{len(chosen.photographs)} photographs")
    else:
        parameters = fit_bundled()
    chosen.out.write_text(parameters.to_json(), encoding="utf-8")
    logger.info("%s: %s", chosen.out, parameters.source)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
