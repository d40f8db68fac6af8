"""Augmentation: the published maps and corruptions against OpenCV, drawn from seed and number alone."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import InvalidValueError
from blursynth.records.streams import Stream
from deblur_models.data import Augmentation, Crops, PairSample, PairSet, TrainingSet, collate, make_batch
from deblur_models.data import augmentation as module
from deblur_models.data.augmentation import Affine, AugmentationDraw, Lens, augment, turned
from deblur_models.data.collate import Augmented
from deblur_models.data.training_set import batches

PUBLISHED = Augmentation()


def codes(size: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colors, some of them at the ends."""
    rough = np.random.default_rng(seed).uniform(-60, 315, (size, size, 3))
    return np.asarray(cv2.GaussianBlur(rough, (0, 0), 1.0).clip(0, 255).round().astype(np.uint8))


def planes(picture: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.moveaxis(picture, -1, 0).copy()).double()


def apart(made: Tensor, wanted: NDArray[Any]) -> float:
    assert made.equal(made.round())
    return float((made - planes(wanted)).abs().max())


def test_draws_are_a_function_of_seed_and_number() -> None:
    assert PUBLISHED.draw(3, 77) == Augmentation().draw(3, 77)
    assert len({PUBLISHED.draw(3, i) for i in range(200)}) > 100, (
        "a third is left as it is, or mirrored or transposed alone"
    )
    assert [PUBLISHED.draw(3, i) for i in range(20)] != [PUBLISHED.draw(4, i) for i in range(20)]


def test_shares_are_those_of_the_code() -> None:
    """Half with one of five, half with one of eight; each of n = 4000 within 5 sqrt(n p (1 - p))."""
    n = 4000
    draws = [PUBLISHED.draw(1, i) for i in range(n)]
    geometry = Counter((d.turn, type(d.warp).__name__) for d in draws)
    corruption = Counter(type(d.corruption).__name__ for d in draws)
    expected = {(0, "NoneType"): 0.5, (4, "NoneType"): 0.1, (5, "NoneType"): 0.1, (0, "Affine"): 0.2, (0, "Lens"): 0.1}
    kinds = dict.fromkeys(("Holes", "Compression", "Median", "Gamma", "ColorShift", "HueShift"), 1 / 16)
    for found, shares in ((geometry, expected), (corruption, kinds | {"NoneType": 0.5, "Kernel": 1 / 8})):
        assert found.keys() == shares.keys()
        for kind, p in shares.items():
            assert abs(found[kind] - n * p) < 5 * np.sqrt(n * p * (1 - p)), kind
    both = sum(d.corruption is not None and (d.turn > 0 or d.warp is not None) for d in draws)
    assert abs(both - n / 4) < 5 * np.sqrt(n * 3 / 16), "independent"


def test_numbers_keep_within_their_limits() -> None:
    corruptions = [PUBLISHED.draw(2, i).corruption for i in range(3000)]
    qualities = {c.quality for c in corruptions if isinstance(c, module.Compression)}
    assert qualities == set(range(70, 91))
    assert {c.size_px for c in corruptions if isinstance(c, module.Median)} == {3, 5, 7}
    kernels = [np.array(c.weights) for c in corruptions if isinstance(c, module.Kernel)]
    lines = [k for k in kernels if k.min() >= 0]
    assert {len(k) for k in lines} == {3, 5, 7}
    assert all(k.sum() == pytest.approx(1) and (k > 0).sum() >= 2 for k in lines)
    sums = [(k.sum() - 1 + -k[0, 0]) / -k[0, 0] for k in kernels if k.min() < 0]
    assert 0.5 <= min(sums) < 0.6 < 0.9 < max(sums) <= 1


def test_maps_are_opencv_s() -> None:
    """A rotation and the distortion of a lens, whose pictures albumentations makes by these functions."""
    angle, scale = 31.0, 1.07
    forward = cv2.getRotationMatrix2D((0, 0), angle, scale)
    assert np.allclose(Affine.inverse_of(forward[:, :2]).matrix, cv2.invertAffineTransform(forward)[:, :2])
    width, height, k = 48, 32, 0.04
    camera = np.array([[width, 0, width / 2], [0, height, height / 2], [0, 0, 1]], np.float32)
    distortion = np.array([k, k, 0, 0, 0], np.float32)
    maps = cv2.initUndistortRectifyMap(camera, distortion, None, None, (width, height), cv2.CV_32FC1)  # type: ignore[call-overload]
    size, (left, top) = 16, (11, 5)
    place = left / (width - size), top / (height - size)
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    for made, whole, start in zip(Lens(k, (width, height), place).source(x, y), maps, (left, top), strict=True):
        wanted = whole[top : top + size, left : left + size] - start - (size - 1) / 2
        assert np.allclose(made, wanted, atol=1e-4), "in the picture's middle nothing moves by a whole pixel"


def test_affine_maps_take_corners_where_opencv_does() -> None:
    """A third of the smaller side from the middle; corners (s, s), (s, -s), (-s, -s), each moved by up to 50 px."""
    stream = Stream(1, 1, "x")
    made = PUBLISHED._geometry(4, stream)[1]
    again = Stream(1, 1, "x")
    moved = np.array([[100 * again.uniform() - 50 for _ in range(2)] for _ in range(3)])
    corners = np.array([[240, 240], [240, -240], [-240, -240]])
    forward = cv2.getAffineTransform(corners.astype(np.float32), (corners + moved).astype(np.float32))
    assert isinstance(made, Affine)
    assert np.allclose(made.matrix, np.linalg.inv(forward[:, :2]), atol=1e-5)


def test_a_warped_pair_is_what_opencv_s_warp_gives() -> None:
    """Within one code, since OpenCV rounds places to 1/32 px; both pictures go the same way."""
    size, margin = 33, 8
    picture = cv2.GaussianBlur(codes(size), (0, 0), 2.0)
    forward = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), 25.0, 0.95)
    wanted = cv2.warpAffine(picture, forward, (size, size), borderMode=cv2.BORDER_REFLECT_101)
    warp = Affine.inverse_of(forward[:, :2])
    pair = (planes(picture) / 255).float(), (planes(picture[..., ::-1]) / 255).float()
    for m in (0, margin):
        sharp, blurred = augment(*pair, AugmentationDraw(warp=warp), margin_px=m, top=255)
        inside = wanted[m : size - m, m : size - m]
        assert sharp.dtype == torch.float32
        assert torch.equal(sharp, blurred.flip(0))
        assert float((sharp * 255 - planes(inside)).abs().max()) < 1.5


def test_turns_are_mirror_image_and_transpose() -> None:
    picture = planes(codes(8))
    assert torch.equal(turned(picture, 4), picture.flip(-1))
    assert torch.equal(turned(picture, 5), picture.transpose(-2, -1))


def test_lines_are_opencv_s() -> None:
    for size, (x0, y0, x1, y1) in ((n, ends) for n in (3, 5) for ends in product(range(n), repeat=4)):
        if (x0, y0) != (x1, y1):
            kernel = cv2.line(np.zeros((size, size), np.uint8), (x0, y0), (x1, y1), 1)
            drawn = {(int(x), int(y)) for y, x in np.argwhere(kernel)}
            assert set(module._line((x0, y0), (x1, y1))) == drawn


def test_corruptions_are_opencv_s() -> None:
    picture = codes()
    given = planes(picture)
    for size in (3, 7):
        assert apart(module.Median(size)(given), cv2.medianBlur(picture, size)) == 0
    line = module.Kernel.of_line(7, Stream(1, 2, "x"))
    assert apart(line(given), cv2.filter2D(picture, -1, np.array(line.weights, np.float32))) <= 1
    sharper = module.Kernel.that_sharpens(0.3, 0.7)
    around = np.full((3, 3), -0.3)
    around[1, 1] = 0.7 + 0.3 * 8.7
    assert apart(sharper(given), cv2.filter2D(picture, -1, around)) <= 1
    gamma = (np.arange(256) / 255) ** 0.83 * 255
    assert apart(module.Gamma(0.83)(given), cv2.LUT(picture, gamma.astype(np.uint8))) == 0
    shifts = np.array([3.7, -12.2, 19.1])
    assert apart(module.ColorShift(tuple(shifts))(given), (picture + shifts).clip(0, 255).astype(np.uint8)) == 0
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    assert apart(module.Compression(80)(given), decoded) == 0


def test_hue_shifts_are_opencv_s_within_the_steps_of_its_integers() -> None:
    picture = codes(seed=5)
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(float)
    moved = np.stack(
        [(hsv[..., 0] + 13.3) % 180, (hsv[..., 1] - 22.7).clip(0, 255), (hsv[..., 2] + 9.6).clip(0, 255)], axis=-1
    )
    wanted = cv2.cvtColor(moved.astype(np.uint8), cv2.COLOR_HSV2RGB)
    made = module.HueShift((13.3, -22.7, 9.6))(planes(picture))
    assert apart(made, wanted) <= 10, "one step of hue is up to 8.5 codes"
    assert float((made - planes(wanted)).abs().mean()) < 0.5


def test_holes_are_black_squares_and_cut_off_at_edges() -> None:
    given = torch.full((3, 40, 50), 9.0)
    made = module.Holes(((0.5, 0.5), (0.0001, 0.9999)), 5)(given)
    assert (made[:, 18:23, 23:28] == 0).all()  # floor(.5 x 41) - 2 = 18, floor(.5 x 51) - 2 = 23
    assert (made[:, :5, 48:] == 0).all()
    assert int((made == 0).sum()) == 3 * (25 + 5 * 2)
    assert (given == 9).all()


class Ramp(PairSet):
    """Pairs whose sharp picture tells the place of each pixel."""

    def __len__(self) -> int:
        return 3

    def read(self, index: int) -> PairSample:
        rows, columns = np.mgrid[:24, :40]
        sharp = np.stack([rows, columns, np.full_like(rows, index)], axis=-1).astype(np.uint8)
        return PairSample(str(index), sharp, sharp[..., ::-1].copy())

    def size_px(self, index: int) -> tuple[int, int]:
        return 24, 40

    def fingerprint(self) -> str:
        return "ramp"

    def check(self) -> None:
        pass


def training(augmentation: Augmentation, size: int = 16) -> TrainingSet:
    margin = augmentation.margin_px(size)
    source = Crops(Ramp(), "ramp", size_px=size, seed=4, margin_px=margin)
    return TrainingSet([source], [1], seed=4, augment=False, augmentation=augmentation, margin_px=margin)


def test_crops_have_what_is_around_them() -> None:
    """Beyond the edges the mirror image, as numpy and OpenCV continue pictures (reflect, BORDER_REFLECT_101)."""
    source = Crops(Ramp(), "ramp", size_px=16, seed=4, margin_px=8)
    plain = Crops(Ramp(), "ramp", size_px=16, seed=4)
    for i in range(12):
        sample, alone = source.sample(i), plain.sample(i)
        assert sample.sharp.shape == (32, 32, 3)
        assert (sample.sharp[8:-8, 8:-8] == alone.sharp).all()
        top, left = (int(v) for v in alone.sharp[0, 0, :2])
        whole = np.pad(Ramp().read(int(alone.name)).sharp, [(8, 8), (8, 8), (0, 0)], mode="reflect")
        assert (sample.sharp == whole[top : top + 32, left : left + 32]).all()


def test_both_pictures_are_moved_and_the_blurred_one_alone_is_corrupted() -> None:
    moved = training(Augmentation(geometric=1.0, corruption=0.0))
    corrupted = training(Augmentation(geometric=0.0, corruption=1.0))
    for i in range(40):
        batch = make_batch(collate([moved[i]]), "cpu")
        assert batch.sharp.shape == (1, 3, 16, 16)
        assert torch.equal(batch.sharp, batch.blurred.flip(1))
        assert batch.geometry == (None,)
    batches_of = [make_batch(collate([corrupted[i]]), "cpu") for i in range(40)]
    alone = [make_batch(collate([Augmented(corrupted.sources[0].sample(i), 0)]), "cpu") for i in range(40)]
    assert all(torch.equal(one.sharp, other.sharp) for one, other in zip(batches_of, alone, strict=True))
    differ = [not torch.equal(one.blurred, other.blurred) for one, other in zip(batches_of, alone, strict=True)]
    assert sum(differ) >= 35
    for one in batches_of:
        assert torch.allclose(one.blurred * 255, (one.blurred * 255).round(), atol=1e-4)


def test_steps_do_not_depend_on_where_one_begins_nor_on_ranks_nor_on_workers() -> None:
    made = training(PUBLISHED)

    def steps(**how: Any) -> list[Tensor]:
        shown = (make_batch(part, "cpu") for (part,) in batches(made, **how))
        return [torch.cat([batch.sharp, batch.blurred], 1) for batch in shown]

    whole = steps(first=0, last=4, batch=4)
    assert all(map(torch.equal, steps(first=2, last=4, batch=4), whole[2:]))
    halves = [steps(first=0, last=4, batch=4, rank=rank, ranks=2) for rank in range(2)]
    assert all(torch.equal(torch.cat(pair), step) for pair, step in zip(zip(*halves, strict=True), whole, strict=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"jpeg_quality": (90, 70)}, r"jpeg_quality must be two numbers, the minimum and the maximum, from 1 to 100"),
        ({"gamma": (0.0, 1.0)}, r"gamma must be two numbers"),
        ({"kernel_px": 4}, r"kernel_px must be odd, got 4"),
        ({"displacement_px": 90.0}, r"displacement_px must be at most 80 for picture_px = \[1280, 720\]"),
        ({"picture_px": (4, 720)}, r"picture_px must be a width and a height >= 8 px"),
        ({"geometric": 1.5}, r"geometric"),
    ],
)
def test_impossible_numbers_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Augmentation(**fields)


def test_a_rotated_patch_finds_its_pixels() -> None:
    """The corner of a patch rotated by 45 degrees and enlarged from .9: 128 sqrt(2) / .9 = 201 px from the middle."""
    assert PUBLISHED.margin_px(256) == 80
    assert Augmentation(geometric=0.0).margin_px(256) == 0
    assert Augmentation(angle_deg=0.0, scale=0.0).margin_px(256) == 0
