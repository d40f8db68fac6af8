"""Blurs of packages on PyPI, as functions with adapters: how each is called, and what its documentation claims.

A law that a function does not claim is exempt, with the sentence of its documentation, or what in its design, says so.
Nothing is claimed for a function that its documentation does not say or that its name does not mean: a function that is
called blur makes a mean of neighbors, so that light is kept; one that is called convolution convolves.

Where a documentation says that integers are computed with in steps, ``accuracy`` says how exactly.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.testing import Adapter

__all__ = ["PACKAGES", "Peer"]

Function = Callable[..., Any]

CODE = 1.0 / 255.0
HOOK = np.array(
    [[0, 0, 0, 0, 0], [0, 0, 0, 4, 2], [0, 0, 3, 0, 0], [0, 4, 0, 0, 0], [0, 3, 0, 0, 0]], np.float64
) / 16  # fmt: skip
"""A path that is neither its own mirror image nor centered. Its weights are sixteenths, which every type holds."""


@dataclass(frozen=True)
class Peer:
    """One function of a package with its parameters.

    Parameters
    ----------
    name
        The function and its parameters, as on the page.
    package
        On PyPI.
    function
        As the adapter says.
    adapter
        How it is called and what it claims. ``adapter.exempt`` says for each law that it does not claim, why.
    note
        What was chosen for it, where this needs a reason.
    """

    name: str
    package: str
    function: Function
    adapter: Adapter
    note: str = ""
    not_claimed: Mapping[str, str] = field(default_factory=dict)

    @property
    def claims(self) -> Adapter:
        """The adapter with the laws that are not claimed."""
        return self.adapter.replace(exempt={**self.adapter.exempt, **self.not_claimed})


def _same(function: Function) -> Callable[[str], Function]:
    """The blur of the mirrored world is the blur: it has no direction."""
    return lambda mirror: function


def line_angle(angle_deg: float, mirror: str) -> float:
    """Of a line, counterclockwise from the right, after a mirror."""
    return (90.0 - angle_deg if mirror == "transposed" else 180.0 - angle_deg) % 180.0


BOX = np.full((5, 5), 1 / 25)
IDENTITY = "identity_limit"


def opencv() -> Iterator[Peer]:
    """OpenCV. Its default border is BORDER_REFLECT_101, here reflect."""
    import cv2

    make = functools.partial(Peer, package="opencv-python-headless")

    def gaussian(image: NDArray[Any], sigma: float = 2.0, ksize: tuple[int, int] = (0, 0)) -> NDArray[Any]:
        return cv2.GaussianBlur(image, ksize, sigma)

    def explicit(sigma: float) -> Function:
        side = 2 * int(np.ceil(4 * sigma)) + 1
        return functools.partial(gaussian, sigma=sigma, ksize=(side, side))

    zero = {IDENTITY: '"if both sigmas are zeros, they are computed from ksize.width and ksize.height"'}
    fixed = "Weights have 8 fractional bits for uint8, by design; accuracy: 3 codes."
    both: dict[str, Any] = {"border": "reflect", "gaussian": True, "strength": explicit}
    for dtype, other, note in (("uint8", "float32", fixed), ("float32", "float64", "")):
        yield make(
            f"cv2.GaussianBlur(x, (17, 17), 2), {dtype}",
            function=explicit(2.0),
            adapter=Adapter(
                dtype=dtype,
                mirrored=_same(explicit(2.0)),
                other_dtypes=(other,),
                accuracy=3 * CODE if dtype == "uint8" else None,
                **both,
            ),
            note=note,
            not_claimed=zero,
        )
    yield make(
        "cv2.GaussianBlur(x, (0, 0), 2), uint8",
        function=gaussian,
        adapter=Adapter(
            dtype="uint8",
            accuracy=3 * CODE,
            border="reflect",
            mirrored=_same(gaussian),
            other_dtypes=("float32",),
            strength=lambda s: functools.partial(gaussian, sigma=s),
            gaussian=True,
            truncate=3.0,
        ),
        note=fixed,
        not_claimed=zero,
    )

    def box(image: NDArray[Any]) -> NDArray[Any]:
        return cv2.blur(image, (5, 5))

    def motion(image: NDArray[Any]) -> NDArray[Any]:
        return cv2.filter2D(image, -1, np.ascontiguousarray(HOOK[::-1, ::-1]))

    for dtype, other in (("uint8", "float32"), ("float32", "float64")):
        known: dict[str, Any] = {"dtype": dtype, "border": "reflect", "other_dtypes": (other,)}
        yield make(
            f"cv2.blur(x, (5, 5)), {dtype}", function=box, adapter=Adapter(kernel=BOX, mirrored=_same(box), **known)
        )
        yield make(
            f"cv2.filter2D(x, -1, hook), {dtype}",
            function=motion,
            adapter=Adapter(kernel=HOOK, centered=False, **known),
            note='"The function does actually compute correlation": the kernel is flipped beforehand, as it advises.',
        )


def scipy() -> Iterator[Peer]:
    """scipy.ndimage. Its default border ``reflect`` repeats the edge pixel, here symmetric."""
    from scipy import ndimage

    make = functools.partial(Peer, package="scipy")
    imprecise = (
        '"for output types with a limited precision, the results may be imprecise because intermediate results may be '
        'stored with insufficient precision"'
    )

    def gaussian(image: NDArray[Any], sigma: float = 2.0) -> NDArray[Any]:
        return np.asarray(ndimage.gaussian_filter(image, sigma, axes=(0, 1)))

    def uniform(image: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(ndimage.uniform_filter(image, 5, axes=(0, 1)))

    def convolve(image: NDArray[Any]) -> NDArray[Any]:
        return np.stack([ndimage.convolve(image[..., c], HOOK) for c in range(image.shape[2])], axis=-1)

    line = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 0.8**2))
    bell = np.outer(line, line) / line.sum() ** 2

    def weighted(image: NDArray[Any]) -> NDArray[Any]:
        return np.stack([ndimage.convolve(image[..., c], bell) for c in range(image.shape[2])], axis=-1)

    yield make(
        "ndimage.convolve(x, bell), uint8",
        function=weighted,
        adapter=Adapter(dtype="uint8", border="symmetric", kernel=bell, mirrored=_same(weighted)),
        note="A Gaussian of 7 px whose weights add up to 1.",
    )
    # Two passes, each of which stores integers.
    steps = ("dtypes", "linearity", "flux", "commutation", "mirrors")
    for dtype, others in (("uint8", ("float32",)), ("float64", ("float32",))):
        known: dict[str, Any] = {"dtype": dtype, "border": "symmetric", "other_dtypes": others}
        yield make(
            f"ndimage.gaussian_filter(x, 2), {dtype}",
            function=gaussian,
            adapter=Adapter(
                mirrored=_same(gaussian),
                strength=lambda s: functools.partial(gaussian, sigma=s),
                gaussian=True,
                **known,
            ),
            not_claimed=dict.fromkeys((*steps, "semigroup", "monotonicity"), imprecise) if dtype == "uint8" else {},
        )
        yield make(
            f"ndimage.uniform_filter(x, 5), {dtype}",
            function=uniform,
            adapter=Adapter(kernel=BOX, mirrored=_same(uniform), **known),
            not_claimed=dict.fromkeys((*steps, "impulse_response"), imprecise) if dtype == "uint8" else {},
        )
        yield make(
            f"ndimage.convolve(x, hook), {dtype}",
            function=convolve,
            adapter=Adapter(
                kernel=HOOK,
                centered=False,
                **known,
            ),
        )


def scikit_image() -> Iterator[Peer]:
    """skimage.filters. Integers become floating-point values from 0 to 1, as documented."""
    from skimage import filters

    def gaussian(image: NDArray[Any], sigma: float = 2.0) -> NDArray[Any]:
        return np.asarray(filters.gaussian(image, sigma, channel_axis=-1))

    for dtype, other in (("uint8", "float32"), ("float32", "float64")):
        yield Peer(
            f"filters.gaussian(x, 2), {dtype}",
            "scikit-image",
            gaussian,
            Adapter(
                dtype=dtype,
                border="replicate",
                mirrored=_same(gaussian),
                other_dtypes=(other,),
                strength=lambda s: functools.partial(gaussian, sigma=s),
                gaussian=True,
            ),
        )


def pillow() -> Iterator[Peer]:
    """Pillow. Pixels at the edge are repeated."""
    from PIL import Image, ImageFilter

    def filtered(kind: Any, radius: float) -> Function:
        return lambda image: np.asarray(Image.fromarray(np.ascontiguousarray(image)).filter(kind(radius)))

    box, gaussian = filtered(ImageFilter.BoxBlur, 2), filtered(ImageFilter.GaussianBlur, 2)
    known: dict[str, Any] = {"dtype": "uint8", "border": "replicate"}
    yield Peer(
        "ImageFilter.BoxBlur(2), uint8",
        "pillow",
        box,
        Adapter(
            accuracy=1.0 * CODE,
            kernel=BOX,
            mirrored=_same(box),
            strength=lambda s: filtered(ImageFilter.BoxBlur, s),
            **known,
        ),
        note="8-bit values are rounded after each of 2 passes by design; accuracy: 1 code.",
    )
    yield Peer(
        "ImageFilter.GaussianBlur(2), uint8",
        "pillow",
        gaussian,
        Adapter(
            accuracy=3.0 * CODE,
            mirrored=_same(gaussian),
            strength=lambda s: filtered(ImageFilter.GaussianBlur, s),
            gaussian=True,
            **known,
        ),
        note="8-bit values are rounded after each of 6 passes by design; accuracy: 3 codes.",
        not_claimed={
            "semigroup": '"a sequence of extended box filters, which approximates a Gaussian kernel"',
            "border": "each of the boxes continues the result of the one before; the documentation names no border",
        },
    )


def _declare_operators_of_torchvision() -> None:
    """A build of torchvision that misses its compiled operators is importable where they are declared."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        try:
            torch._C._dispatch_has_kernel_for_dispatch_key(f"torchvision::{name}", "Meta")
        except RuntimeError:
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)  # what a library declares goes with it


_declared: list[Any] = []


def torchvision() -> Iterator[Peer]:
    """torchvision.transforms. Its border is reflect, which torch takes only where the picture is larger."""
    _declare_operators_of_torchvision()
    from torchvision.transforms import functional

    def gaussian(image: Any, sigma: float = 2.0) -> Any:
        return functional.gaussian_blur(image, [17, 17], [sigma, sigma])

    for dtype, other in (("float32", "float64"), ("uint8", "float32")):
        yield Peer(
            f"gaussian_blur(x, 17, 2), {dtype}",
            "torchvision",
            gaussian,
            Adapter(
                layout="NCHW",
                array="torch",
                dtype=dtype,
                smallest_px=9,
                border="reflect",
                derivative=dtype != "uint8",
                mirrored=_same(gaussian),
                other_dtypes=(other,),
                strength=lambda s: functools.partial(gaussian, sigma=s),
                strengths=(0.5, 1.0, 2.0),
                gaussian=True,
            ),
            note="Pictures have at least 9 px, since torch reflects less than a whole picture.",
            not_claimed={IDENTITY: '"sigma should have positive values"'},
        )


def kornia() -> Iterator[Peer]:
    """kornia.filters."""
    from kornia import filters

    make = functools.partial(Peer, package="kornia")
    known: dict[str, Any] = {"layout": "NCHW", "array": "torch", "border": "reflect", "derivative": True}

    def gaussian(image: Any, sigma: float = 2.0) -> Any:
        return filters.gaussian_blur2d(image, (17, 17), (sigma, sigma))

    def box(image: Any) -> Any:
        return filters.box_blur(image, (5, 5))

    def motion(angle: float, direction: float, mode: str = "nearest") -> Function:
        return lambda image: filters.motion_blur(image, 9, angle, direction, mode=mode)

    small = "Pictures have at least {} px, since torch reflects less than a whole picture."
    for dtype, other in (("float32", "float64"),):
        yield make(
            f"gaussian_blur2d(x, 17, 2), {dtype}",
            function=gaussian,
            adapter=Adapter(
                dtype=dtype,
                smallest_px=9,
                mirrored=_same(gaussian),
                other_dtypes=(other,),
                strength=lambda s: functools.partial(gaussian, sigma=s),
                strengths=(0.5, 1.0, 2.0),
                gaussian=True,
                **known,
            ),
            note=small.format(9),
            not_claimed={IDENTITY: '"sigma must be positive"'},
        )
        yield make(
            f"box_blur(x, 5), {dtype}",
            function=box,
            adapter=Adapter(
                dtype=dtype, smallest_px=3, kernel=BOX, mirrored=_same(box), other_dtypes=(other,), **known
            ),
            note=small.format(3),
        )
    for angle in (35.0, 30.0):
        ties = (
            {"mirrors": '"where the source falls exactly between two taps, such as at 30 or 120 degrees, the tie goes '
             'to the even coordinate"'}
            if angle == 30.0
            else {}
        )  # fmt: skip
        yield make(
            f"motion_blur(x, 9, {angle:g}, 0), float64",
            function=motion(angle, 0.0),
            adapter=Adapter(
                dtype="float64",
                smallest_px=5,
                mirrored=lambda mirror, angle=angle: motion(line_angle(angle, mirror), 0.0),
                **known,
            ),
            note=small.format(5),
            not_claimed=ties,
        )
    yield make(
        "motion_blur(x, 9, 35, 0, mode='bilinear'), float64",
        function=motion(35.0, 0.0, "bilinear"),
        adapter=Adapter(
            dtype="float64",
            smallest_px=5,
            mirrored=lambda mirror: motion(line_angle(35.0, mirror), 0.0, "bilinear"),
            **known,
        ),
    )
    # "1 gives [0.4, 0.3, 0.2, 0.1, 0]", and "the streak ... is heaviest ... to the point's right"
    comet = np.zeros((9, 9))
    comet[4] = np.arange(9) / 36
    yield make(
        "motion_blur(x, 9, 0, 1), float64",
        function=motion(0.0, 1.0),
        adapter=Adapter(dtype="float64", smallest_px=5, kernel=comet, **known),
        not_claimed={"centroid": '"Higher values towards 1.0 will point the motion blur forward"'},
    )


def albumentations() -> Iterator[Peer]:
    """albumentations, each transform with ranges of one value. Borders are OpenCV's."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as made

    make = functools.partial(Peer, package="albumentations")

    def applied(transform: Any) -> Function:
        return lambda image: transform(image=np.ascontiguousarray(image))["image"]

    def motion(angle: float, direction: float) -> Function:
        return applied(
            made.MotionBlur(
                blur_limit=(9, 9),
                angle_range=(angle % 360, angle % 360),
                direction_range=(direction, direction),
                allow_shifted=False,
                p=1.0,
            )
        )

    def gaussian(sigma: float) -> Function:
        return applied(made.GaussianBlur(blur_limit=0, sigma_limit=(sigma, sigma), p=1.0))

    def defocus(radius: int) -> Function:
        return applied(made.Defocus(radius=(radius, radius), alias_blur=(0.5, 0.5), p=1.0))

    diagonal = np.zeros((9, 9))
    for at in range(1, 8):
        diagonal[8 - at, at] = 1 / 7  # lower left to upper right
    right = np.zeros((9, 9))
    right[4, 4:] = 1 / 5
    box = applied(made.Blur(blur_limit=(5, 5), p=1.0))
    for dtype, other in (("float32", "uint8"),):
        known: dict[str, Any] = {"dtype": dtype, "border": "reflect", "other_dtypes": (other,)}
        yield make(f"Blur(5), {dtype}", function=box, adapter=Adapter(kernel=BOX, mirrored=_same(box), **known))
        yield make(
            f"GaussianBlur(sigma 2), {dtype}",
            function=gaussian(2.0),
            adapter=Adapter(
                mirrored=_same(gaussian(2.0)),
                strength=gaussian,
                gaussian=True,
                truncate=3.5,
                **known,
            ),
            note='"sigma ... Must be more or equal than 0."',
        )
        yield make(
            f"MotionBlur(9, angle 35, direction 0), {dtype}",
            function=motion(35.0, 0.0),
            adapter=Adapter(mirrored=lambda mirror: motion(line_angle(35.0, mirror), 0.0), **known),
            note='allow_shifted=False: "Kernel will always be centered".',
        )
        yield make(
            f"MotionBlur(9, angle 45, direction 0), {dtype}",
            function=motion(45.0, 0.0),
            adapter=Adapter(kernel=diagonal, mirrored=lambda mirror: motion(line_angle(45.0, mirror), 0.0), **known),
            note='"45°: Diagonal motion blur ↗"',
        )
        yield make(
            f"MotionBlur(9, angle 0, direction 1), {dtype}",
            function=motion(0.0, 1.0),
            adapter=Adapter(kernel=right, **known),
            note='"direction=1.0: •→", "Object moving right".',
            not_claimed={"centroid": '"direction ... 1.0: Blur extends only forward (→)"'},
        )
        for radius in (3, 10):  # 10 is the largest of the default range
            yield make(
                f"Defocus(radius {radius}, alias_blur .5), {dtype}",
                function=defocus(radius),
                adapter=Adapter(mirrored=_same(defocus(radius)), **known),
            )
    step = made.AdvancedBlur(
        blur_limit=(7, 7),
        sigma_x_limit=(1.2, 1.2),
        sigma_y_limit=(1.2, 1.2),
        rotate_limit=(0, 0),
        beta_limit=(1 - 1e-9, 1 + 1e-9),
        noise_limit=(1.0, 1.0),
        p=1.0,
    )

    def advanced(image: NDArray[Any]) -> NDArray[Any]:
        step.set_random_seed(1)  # its range of beta cannot be one value
        return np.asarray(step(image=np.ascontiguousarray(image))["image"])

    yield make(
        "AdvancedBlur(7, sigma 1.2, no noise), float32",
        function=advanced,
        adapter=Adapter(border="reflect", mirrored=_same(advanced), other_dtypes=("uint8",)),
        note="Without its noise, and with beta 1, which makes it a Gaussian of 7 px.",
    )
    zoom = applied(made.ZoomBlur(max_factor=(1.2, 1.2), step_factor=(0.05, 0.05), p=1.0))
    yield make(
        "ZoomBlur(1.2, step .05), float32",
        function=zoom,
        adapter=Adapter(varies=True, smallest_px=8, reach_px=6, mirrored=_same(zoom), other_dtypes=("uint8",)),
        not_claimed={"flux": ENLARGES, "no_wrap_around": "its reach grows with the picture"},
    )


ENLARGES = "a mean of enlarged pictures: what is enlarged has more light, and some of it leaves the picture"


def imgaug() -> Iterator[Peer]:
    """imgaug, the last release of which is from 2020."""
    from imgaug import augmenters

    step = augmenters.MotionBlur(k=9, angle=35, direction=0.0)

    def motion(image: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(step.augment_image(image))

    yield Peer("MotionBlur(9, 35, 0), uint8", "imgaug", motion, Adapter(dtype="uint8", border="reflect"))


def imagecorruptions() -> Iterator[Peer]:
    """imagecorruptions (the blurs of ImageNet-C), through its function ``corrupt``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from imagecorruptions import corrupt

    make = functools.partial(Peer, package="imagecorruptions")

    def corrupted(name: str, severity: int) -> Function:
        def blur(image: NDArray[Any], seed: int = 1) -> NDArray[Any]:
            np.random.seed(seed)  # noqa: NPY002  # it draws from the global generator
            return np.asarray(corrupt(np.ascontiguousarray(image), severity=severity, corruption_name=name))

        return blur

    known: dict[str, Any] = {"dtype": "uint8", "smallest_px": 32}
    for severity, reach in ((3, 9), (5, 12)):
        blur = corrupted("defocus_blur", severity)
        yield make(
            f"defocus_blur, severity {severity}",
            function=blur,
            adapter=Adapter(reach_px=reach, border="reflect", mirrored=_same(blur), **known),
            note='"width and height must be at least 32 pixels"',
        )
    for severity, reach in ((3, 30), (5, 40)):
        yield make(
            f"motion_blur, severity {severity}",
            function=corrupted("motion_blur", severity),
            adapter=Adapter(seed="seed", reach_px=reach, border="replicate", **known),
            note="Its shift repeats the pixels at the edge.",
            not_claimed={
                "centroid": "one-sided by design: weights of half a Gaussian, from the pixel in one direction",
                "border": "the documentation names no border",
            },
        )
    zoom = corrupted("zoom_blur", 3)
    yield make(
        "zoom_blur, severity 3",
        function=zoom,
        adapter=Adapter(varies=True, reach_px=8, mirrored=_same(zoom), **known),
        not_claimed={"flux": ENLARGES, "no_wrap_around": "its reach grows with the picture"},
    )
    gaussian = corrupted("gaussian_blur", 3)
    yield make(
        "gaussian_blur, severity 3",
        function=gaussian,
        adapter=Adapter(reach_px=12, mirrored=_same(gaussian), **known),
    )


def deepinv() -> Iterator[Peer]:
    """deepinv.physics, whose operators come with their adjoints."""
    _declare_operators_of_torchvision()
    import torch
    from deepinv import physics

    make = functools.partial(Peer, package="deepinv")
    for dtype in ("float64",):
        kernel = torch.from_numpy(HOOK.astype(dtype))[None, None]
        known: dict[str, Any] = {
            "layout": "NCHW", "array": "torch", "dtype": dtype, "derivative": True, "smallest_px": 5
        }  # fmt: skip

        @functools.lru_cache(256)
        def fft(shape: tuple[int, ...], kernel: Any = kernel) -> Any:
            return physics.BlurFFT(img_size=shape, filter=kernel)

        yield make(
            f"BlurFFT(hook), {dtype}",
            function=lambda image, fft=fft: fft(tuple(image.shape[1:])).A(image),
            adapter=Adapter(
                kernel=HOOK,
                centered=False,
                border="circular",
                reach_px=2,  # the transform's rounding spreads all over the picture
                adjoint=lambda image, fft=fft: fft(tuple(image.shape[1:])).A_adjoint(image),
                **known,
            ),
        )
        for padding in ("circular", "reflect", "replicate"):
            blur = physics.Blur(filter=kernel, padding=padding)
            yield make(
                f"Blur(hook, '{padding}'), {dtype}",
                function=blur.A,
                adapter=Adapter(kernel=HOOK, centered=False, border=padding, adjoint=blur.A_adjoint, **known),
            )
        filters = torch.from_numpy(np.stack([HOOK, HOOK[::-1].copy()])[None, None].astype(dtype))
        for first in (False, True):

            def varying(
                image: Any, back: bool = False, first: bool = first, filters: Any = filters, dtype: str = dtype
            ) -> Any:
                share = np.linspace(0, 1, image.shape[-1])[None] * np.ones((image.shape[-2], 1))
                weights = torch.from_numpy(np.stack([share, 1 - share])[None, None].astype(dtype))
                operator = physics.SpaceVaryingBlur(
                    filters=filters, multipliers=weights, padding="reflect", mask_first=first
                )
                return operator.A_adjoint(image) if back else operator.A(image)

            yield make(
                f"SpaceVaryingBlur(mask_first={first}), {dtype}",
                function=varying,
                adapter=Adapter(varies=True, reach_px=4, adjoint=functools.partial(varying, back=True), **known),
                not_claimed=(
                    dict.fromkeys(("constants", "value_range"), "weights before the convolution keep light")
                    if first
                    else {"flux": "weights after the convolution keep constants"}
                ),
            )


PACKAGES: dict[str, Callable[[], Iterator[Peer]]] = {
    "opencv-python-headless": opencv,
    "scipy": scipy,
    "scikit-image": scikit_image,
    "pillow": pillow,
    "torchvision": torchvision,
    "kornia": kornia,
    "albumentations": albumentations,
    "imgaug": imgaug,
    "imagecorruptions": imagecorruptions,
    "deepinv": deepinv,
}
"""Packages by their names on PyPI, each with what makes its peers."""
