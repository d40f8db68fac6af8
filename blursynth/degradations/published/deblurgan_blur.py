"""DeblurGAN's synthetic blur, with its defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure, one_by_one
from blursynth.degradations.motion.random_walk_motion import RandomWalkMotion
from blursynth.frame import Border, Encoding, Frame
from blursynth.physics.point_spread import PointSpreads, rasterize_samples
from blursynth.physics.trajectory import published_placement

__all__ = ["DeblurganBlur"]


class DeblurganBlur(Degradation):
    """The blur of DeblurGAN (Kupyn et al., CVPR 2018) as its code makes it, for comparisons; no camera blurs like this.

    The published random walk (form ``paper``) is splatted sample by sample onto a canvas; the picture's file codes
    are convolved with it, dark beyond the border; and the result is stretched so that its darkest pixel is 0 and its
    brightest 1.

    Its defects, kept on purpose: it blurs gamma-encoded codes instead of light; the kernel is off center by several px,
    so the pair is not aligned; borders are dark; the stretch changes brightness and contrast of every picture, and
    depends on all of its pixels. Therefore a window cannot be blurred by itself: ``reach_px`` is None, and data sets
    blur the whole picture before they crop the patch.

    Its sharp picture is the source; a short exposure is one moment, whatever its fraction.

    Source: the folder motion_blur of the authors' repository (KupynOrest/DeblurGAN) at commit 1421a74 of 10 November
    2017, which is still its master; Boracchi and Foi, IEEE TIP 21(8), 2012 for the walk. Its script draws the anxiety
    from six values and one of the parts .1, .5 and 1 of the path; its list of parts has .01, too, which is never drawn.
    The folder differs in earlier commits: 3dbe63b and 5675189 (8 November 2017) expose .001, .1, .5 and 1 of paths of
    anxiety .005 on a canvas as large as the picture; 476654a has the list with .01 and a canvas of 64 px, and its
    script takes .01; that of 11edbe5 draws one of all four parts and of eight anxieties (.002 and .001 besides), and
    saves a plot; 7ddd420 and 12f6c7c draw one of all four parts and of six anxieties, and save the codes.
    """

    takes: ClassVar[Encoding | None] = Encoding.DISPLAY
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY
    blurs: ClassVar[bool] = True

    anxiety: float = Field(
        ge=0, le=1, examples=[0.01], description="strength of all disturbances; published .003 to .01"
    )
    centripetal: float = Field(
        ge=0, le=10, examples=[0.35], description="pull towards the start of the path; published 0 to .7"
    )
    big_shake: float = Field(
        ge=0, le=10, examples=[0.1], description="frequency of sudden reversals; published 0 to .2"
    )
    gaussian: float = Field(
        ge=0, le=100, examples=[5.0], description="strength of the random turning; published 0 to 10"
    )
    heading_deg: float = Field(
        ge=-360, le=360, examples=[30.0], description="first direction, 0 = right, 90 = down; published 0 to 360"
    )
    length_px: float = Field(default=60.0, gt=0, le=2000, description="length of the path in px; published 60")
    canvas_px: int = Field(default=64, ge=3, le=4096, description="height and width of the kernel in px; published 64")
    samples: int = Field(default=2000, ge=2, le=100_000, description="number of positions on the path; published 2000")
    exposure_fraction: float = Field(
        default=1.0, gt=0, le=1, description="exposed part of the path; published one of .1, .5, 1"
    )
    stretch: bool = Field(default=True, description="whether the result is stretched to the range 0..1, as published")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's walk")

    def model_post_init(self, context: object) -> None:
        if self.canvas_px < self.length_px + 3:
            raise ValueError(
                f"canvas_px must be at least length_px + 3 = {self.length_px + 3:g}, got {self.canvas_px}; "
                "a straight path would leave the canvas."
            )

    def reach_px(self, frame: Frame) -> int | None:
        return None if self.stretch else self.canvas_px

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        return self.target()

    def point_spread(self) -> PointSpreads:
        """The kernel, not centered."""
        walk = RandomWalkMotion(
            length_px=self.length_px,
            anxiety=self.anxiety,
            centripetal=self.centripetal,
            big_shake=self.big_shake,
            gaussian=self.gaussian,
            heading_deg=self.heading_deg,
            samples=self.samples,
            form="paper",
            seed=self.seed,
        )
        return rasterize_samples(
            published_placement(walk.path(), self.canvas_px),
            canvas_px=self.canvas_px,
            exposure_end=self.exposure_fraction,
        )

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return one_by_one(steps, frame, cls._blurred)

    def _blurred(self, frame: Frame) -> Any:
        psf = self.point_spread()
        kernel = replace(psf, weight=psf.weight / (psf.weight.max() if self.stretch else psf.weight.sum()))
        picture = _stretched(frame.image) if self.stretch else frame.image
        blurred = for_array(picture).convolve(picture, kernel, border=Border.CONSTANT)
        return _stretched(blurred) if self.stretch else blurred


def _stretched(picture: Any) -> Any:
    """Darkest value to 0, brightest to 1; a picture of one value becomes black, as in OpenCV's normalize."""
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low) if high > low else picture - low
