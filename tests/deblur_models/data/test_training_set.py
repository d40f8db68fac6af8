"""Training samples: those of stored data sets, on every device, by however many processes, whenever one begins."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import blursynth as bs
from blursynth.dataset import DatasetRequest, OnlineDataset, Unblurred, generate, open_dataset
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from deblur_models.data import (
    Batch,
    Crops,
    OnTheFly,
    PairSample,
    PairSet,
    StoredPairs,
    TrainingSet,
    collate,
    make_batch,
)
from deblur_models.data.collate import Augmented
from deblur_models.data.training_set import batches, shuffled
from deblur_models.losses import ReBlur


@cache
def online(photos: Path, recipe: str, depth: Path | None = None) -> OnlineDataset:
    """Kept, since every draw is tried beforehand."""
    return OnlineDataset(DatasetRequest(sources=photos, recipe=bs.load_recipe(recipe), size_px=24, seed=3, depth=depth))


def on_the_fly(
    photos: Path, recipe: str | bs.Recipe, depth: Path | None = None, *, on_device: bool = False
) -> OnTheFly:
    made = (
        online(photos, recipe, depth)
        if isinstance(recipe, str)
        else OnlineDataset(DatasetRequest(sources=photos, recipe=recipe, size_px=24, seed=3))
    )
    return OnTheFly(made, "made", seed=3, on_device=on_device)


def batch_of(samples: Sequence[Augmented]) -> Batch:
    return make_batch(collate(samples), "cpu")


def equal(one: Batch, other: Batch) -> None:
    assert one.sources == other.sources
    assert one.draws == other.draws
    assert torch.equal(one.sharp, other.sharp)
    assert torch.equal(one.blurred, other.blurred)
    for mine, theirs in zip(one.geometry, other.geometry, strict=True):
        assert mine is not None
        assert theirs is not None
        assert (mine.origin_px == theirs.origin_px).all()
        assert (mine.full_size_px == theirs.full_size_px).all()
        assert mine.size_px == theirs.size_px == tuple(one.sharp.shape[-2:])
        for name in ("depth_m", "labels"):
            a, b = getattr(mine, name), getattr(theirs, name)
            assert (a is None) == (b is None)
            assert a is None or (a == b).all()


@pytest.mark.parametrize("recipe", ["clean", "default"])
def test_samples_made_on_the_fly_are_those_of_a_stored_data_set(photos: Path, tmp_path: Path, recipe: str) -> None:
    generate(
        DatasetRequest(sources=photos, recipe=bs.load_recipe(recipe), count=4, size_px=24, seed=3),
        tmp_path / "pairs",
        workers=1,
    )
    stored = StoredPairs(open_dataset(tmp_path / "pairs"))
    source = on_the_fly(photos, recipe)
    assert len(stored) == 4
    for i in (3, 0, 2, 1):
        made = source.sample(i)
        assert isinstance(made, PairSample)
        equal(batch_of([Augmented(made, 0)]), batch_of([Augmented(stored[i], 0)]))
    assert stored.size_px(0) == (24, 24)


@pytest.mark.parametrize(
    ("recipe", "with_depth", "count"),
    [("default", False, 16), ("clean", False, 16), ("motion-only", False, 16), ("mixed", False, 24),
     ("mixed", True, 16)],
)  # fmt: skip
def test_blur_on_the_device_has_the_bits_of_blur_on_its_own(
    photos: Path, depth: Path, recipe: str, with_depth: bool, count: int
) -> None:
    maps = depth if with_depth else None
    there, here = on_the_fly(photos, recipe, maps, on_device=True), on_the_fly(photos, recipe, maps)
    before = [there.sample(i) for i in range(count)]
    waiting = [s for s in before if isinstance(s, Unblurred)]
    assert len(waiting) > count // 2
    assert len({s.margin_px for s in waiting}) > 1, "windows with several margins must meet in one batch"
    at_border = [s for s in waiting if s.window.top == s.margin_px or s.window.left == s.margin_px]
    assert recipe != "mixed" or at_border, "some window with its margin must touch the picture's border"
    assert all((s.frame.depth_m is not None) == with_depth for s in waiting)
    alone = [here.sample(i) for i in range(count)]
    equal(*(batch_of([Augmented(s, i % 8) for i, s in enumerate(samples)]) for samples in (before, alone)))


def test_pictures_with_and_without_depth_from_two_recipes_blur_in_one_step(photos: Path, depth: Path) -> None:
    target = bs.Recipe([("decode", bs.kinds.Decode()), ("lens", bs.kinds.GaussianBlur(sigma_px=1.5)), ("encode", bs.kinds.Encode())],
                          name="small", target="source")  # fmt: skip
    kinds = (("portrait", depth), ("motion-only", None), (target, None))
    before, alone = (
        [source.sample(i) for i in range(2) for source in sources]
        for sources in ([on_the_fly(photos, *kind, on_device=there) for kind in kinds] for there in (True, False))
    )
    assert all(isinstance(s, Unblurred) for s in before)
    equal(*(batch_of([Augmented(s, 0) for s in samples]) for samples in (before, alone)))


def test_codes_of_16_bits_stay_such_on_the_device(photos: Path) -> None:
    fine = bs.Recipe([("decode", bs.kinds.Decode()), ("lens", bs.kinds.GaussianBlur(sigma_px=1.5)), ("encode", bs.kinds.Encode(bit_depth=16))],
                     name="fine")  # fmt: skip
    before, alone = (on_the_fly(photos, fine, on_device=there).sample(0) for there in (True, False))
    assert isinstance(before, Unblurred)
    one, other = (batch_of([Augmented(s, 0)]) for s in (before, alone))
    assert (one.blurred * 255 - (one.blurred * 255).round()).abs().max() > 0.1
    equal(one, other)


def test_a_draw_blurs_again_by_the_geometry_of_the_batch(photos: Path, depth: Path) -> None:
    """What re-blurring needs of depth and place is there: the sharp picture blurred again is the blurred one."""
    for there in (True, False):
        source = on_the_fly(photos, "clean", on_device=there)
        batch = batch_of([Augmented(source.sample(i), 0) for i in range(4, 8)])
        assert ReBlur()(batch.sharp, batch) < 0.5 / 255  # what rounding leaves
        assert ReBlur()(batch.blurred, batch) > 1 / 255
    deep = batch_of([Augmented(on_the_fly(photos, "portrait", depth).sample(0), 0)])
    assert deep.geometry[0] is not None
    assert deep.geometry[0].depth_m is not None


def test_light_is_refused(photos: Path) -> None:
    linear = bs.Recipe([("decode", bs.kinds.Decode()), ("lens", bs.kinds.GaussianBlur(sigma_px=1.5))], name="light")
    with pytest.raises(InvalidValueError, match=r"ends in linear light.*End the recipe with an encode step"):
        on_the_fly(photos, linear)


def test_a_sample_with_unbounded_reach_is_blurred_where_it_is_read(photos: Path) -> None:
    endless = bs.Recipe(
        [("decode", bs.kinds.Decode()), ("zoom", bs.kinds.Zoom(scale=1.03)), ("encode", bs.kinds.Encode())],
        name="zoomed",
    )
    source = on_the_fly(photos, endless, on_device=True)
    sample = source.sample(0)
    reach = source.online.unblurred(0).margin_px
    assert isinstance(sample, PairSample) == (reach is None)
    equal(batch_of([Augmented(sample, 0)]), batch_of([Augmented(on_the_fly(photos, endless).sample(0), 0)]))


def test_a_block_is_shown_again_in_another_order(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnTheFly, "BLOCK", 4)
    source = OnTheFly(online(photos, "clean"), "made", seed=3, reuse=3)
    first, second = ([int(source.sample(i).draw is not None and _number(source, i)) for i in part]
                     for part in (range(12), range(12, 24)))  # fmt: skip
    for start in (0, 4, 8):
        assert sorted(first[start : start + 4]) == [0, 1, 2, 3]
        assert sorted(second[start : start + 4]) == [4, 5, 6, 7]
    assert len({tuple(first[s : s + 4]) for s in (0, 4, 8)}) > 1
    assert [_number(source, i) for i in (5, 0, 20)] == [first[5], first[0], second[8]], "any start gives the same"


def _number(source: OnTheFly, index: int) -> int:
    sample = source.sample(index)
    assert isinstance(sample, PairSample)
    return int(sample.name.rpartition(":")[2])


@dataclass
class Numbered(PairSet):
    """Pairs whose pixels say which pair and place they are; the blurred picture has the same in another channel."""

    count: int
    size: tuple[int, int] = (16, 20)
    name: str = "numbered"

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> PairSample:
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        sharp = np.stack([np.full(self.size, index), rows, columns], -1).astype(np.uint8)
        geometry = Frame(np.zeros((1, 3, *self.size), np.float32), Encoding.DISPLAY)
        return PairSample(str(index), sharp, sharp[..., ::-1], str(index), None, geometry)

    def size_px(self, index: int) -> tuple[int, int]:
        return self.size


def test_every_pair_comes_once_per_epoch_at_a_place_inside() -> None:
    crops = Crops(Numbered(7), "set", size_px=8, seed=1)
    samples = [crops.sample(i) for i in range(21)]
    orders = [[int(s.name) for s in samples[start : start + 7]] for start in (0, 7, 14)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    places = set()
    for sample in samples:
        top, left = int(sample.sharp[0, 0, 1]), int(sample.sharp[0, 0, 2])
        places.add((top, left))
        assert sample.sharp.shape == (8, 8, 3)
        assert (sample.sharp == sample.blurred[..., ::-1]).all(), "both halves are cut at one place"
        assert (sample.sharp[..., 0] == int(sample.name)).all()
        assert sample.geometry is not None
        assert sample.geometry.origin_px.tolist() == [[top, left]]
        assert sample.geometry.full_size_px.tolist() == [[16, 20]]
    assert len(places) > 15
    again = Crops(Numbered(7), "set", size_px=8, seed=1)
    assert (again.sample(13).sharp == samples[13].sharp).all(), "any start gives the same"
    other = [Crops(Numbered(7), "set", size_px=8, seed=2).sample(i).name for i in range(7)]
    assert other != [s.name for s in samples[:7]]


def test_crops_reach_every_place_alike() -> None:
    """Tops of 16 - 8 + 1 = 9 places, 900 crops: each within 5 sigma of 100."""
    crops = Crops(Numbered(1), "set", size_px=8, seed=5)
    tops = np.bincount([int(crops.sample(i).sharp[0, 0, 1]) for i in range(900)], minlength=9)
    assert len(tops) == 9
    assert (np.abs(tops - 100) < 5 * np.sqrt(900 * (1 / 9) * (8 / 9))).all()


def test_pictures_that_are_too_small_are_named() -> None:
    with pytest.raises(InvalidValueError, match="set: patch_px = 17 is larger than the pictures: pair 0 has 20x16 px"):
        Crops(Numbered(2), "set", size_px=17, seed=0)
    assert Crops(Numbered(2), "set", size_px=16, seed=0).sample(0).sharp.shape == (16, 16, 3)


@given(st.integers(1, 50), st.integers(0, 2**62), st.integers(0, 1000))
def test_an_order_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    assert sorted(shuffled(count, seed, epoch, "x")) == list(range(count))


def test_two_sources_come_two_to_one() -> None:
    """n = 3000 draws with p = 2/3: within 5 sqrt(n p (1 - p)) = 129 of 2000."""
    first, second = Numbered(1, (8, 8)), Numbered(2, (8, 8))
    both = TrainingSet(
        [Crops(first, "a", size_px=8, seed=1), Crops(second, "b", size_px=8, seed=1)], [2, 1], seed=9, augment=False
    )
    sizes = np.array([isinstance(_pairs(both, i), Numbered) and _pairs(both, i) is first for i in range(3000)])
    assert abs(sizes.sum() - 2000) < 5 * np.sqrt(3000 * 2 / 9)
    halves = np.array([sizes[:1500].sum(), sizes[1500:].sum()])
    assert (abs(halves - 1000) < 5 * np.sqrt(1500 * 2 / 9)).all()


class _Seen:
    def __init__(self) -> None:
        self.source: object = None


def _pairs(training: TrainingSet, index: int) -> PairSet:
    """The set that sample ``index`` comes from."""
    seen = _Seen()
    for source in training.sources:
        assert isinstance(source, Crops)

        def sample(i: int, source: Crops = source) -> PairSample:
            seen.source = source.pairs
            return source.pairs.read(0)

        source.sample = sample  # type: ignore[method-assign]
    training[index]
    assert isinstance(seen.source, PairSet)
    return seen.source


@pytest.mark.parametrize("shares", [[], [1.0, 2.0], [0.0]])
def test_shares_must_fit(shares: list[float]) -> None:
    with pytest.raises(InvalidValueError, match="Every source needs a share > 0"):
        TrainingSet([Crops(Numbered(1), "a", size_px=8, seed=0)], shares, seed=0, augment=True)


def test_turns_are_the_eight_of_the_square_and_keep_pairs_aligned() -> None:
    source = Crops(Numbered(1, (8, 8)), "a", size_px=8, seed=0)
    turned = TrainingSet([source], [1], seed=4, augment=True)
    samples = [turned[i] for i in range(400)]
    counts = np.bincount([s.turn for s in samples], minlength=8)
    assert (abs(counts - 50) < 5 * np.sqrt(400 * 7 / 64)).all()
    batch = batch_of([Augmented(source.sample(0), turn) for turn in range(8)])
    assert torch.equal(batch.sharp, batch.blurred.flip(1)), "channels are swapped in the blurred half, nothing else"
    assert len({_bytes(picture) for picture in batch.sharp}) == 8
    for turn in range(8):
        start = batch.sharp[0] if turn < 4 else batch.sharp[0].flip(-1)
        assert torch.equal(batch.sharp[turn], start.rot90(turn % 4, (-2, -1)))
    still = TrainingSet([source], [1], seed=4, augment=False)
    assert {still[i].turn for i in range(50)} == {0}
    mirrored = TrainingSet([source], [1], seed=4, augment="mirror")
    ways = [mirrored[i].turn for i in range(400)]
    assert set(ways) == {0, 4}, "itself and its mirror image"
    assert abs(ways.count(4) - 200) < 5 * np.sqrt(400 / 4)


def _bytes(picture: Tensor) -> bytes:
    return picture.numpy().tobytes()


def _samples(loader: object) -> list[bytes]:
    steps = []
    for (part,) in loader:  # type: ignore[attr-defined]
        batch = make_batch(part, "cpu")
        steps.append(_bytes(batch.sharp) + _bytes(batch.blurred))
    return steps


def test_steps_do_not_depend_on_where_one_begins_nor_on_ranks() -> None:
    training = TrainingSet([Crops(Numbered(5), "a", size_px=8, seed=0)], [1], seed=1, augment=True)
    whole = _samples(batches(training, first=0, last=5, batch=4))
    assert len(set(whole)) == 5
    assert _samples(batches(training, first=3, last=5, batch=4)) == whole[3:]
    assert _samples(batches(training, first=0, last=2, batch=4, offset=12)) == whole[3:]
    for step in range(2):
        shares = [next(iter(batches(training, first=step, last=5, batch=4, rank=r, ranks=2)))[0] for r in range(2)]
        halves = next(iter(batches(training, first=step, last=5, batch=4, parts=2)))
        for pieces in (shares, halves):
            made = [make_batch(piece, "cpu") for piece in pieces]
            sharp, blurred = (torch.cat([getattr(b, name) for b in made]) for name in ("sharp", "blurred"))
            assert _bytes(sharp) + _bytes(blurred) == whole[step]


def test_worker_processes_read_the_same(photos: Path, tmp_path: Path) -> None:
    generate(
        DatasetRequest(sources=photos, recipe=bs.load_recipe("clean"), count=3, size_px=32, seed=5),
        tmp_path / "pairs",
        workers=1,
    )
    stored = StoredPairs(open_dataset(tmp_path / "pairs"))
    sources = [on_the_fly(photos, "clean", on_device=True), Crops(stored, "stored", size_px=24, seed=3)]
    training = TrainingSet(sources, [1, 1], seed=1, augment=True)
    alone = _samples(batches(training, first=1, last=4, batch=3))
    assert _samples(batches(training, first=1, last=4, batch=3, workers=2)) == alone


def test_groups_of_a_batch_keep_the_order_of_samples(photos: Path, depth: Path) -> None:
    deep, flat = on_the_fly(photos, "portrait", depth, on_device=True), on_the_fly(photos, "clean", on_device=True)
    samples = [Augmented(source.sample(i), 0) for i in range(2) for source in (deep, flat)]
    assert len(collate(samples).groups) == 2
    together = batch_of(samples)
    for i, sample in enumerate(samples):
        alone = batch_of([sample])
        assert torch.equal(together.sharp[i], alone.sharp[0])
        assert torch.equal(together.blurred[i], alone.blurred[0])


@pytest.mark.parametrize("on_device", [False, True])
def test_pixels_go_between_processes_as_tensors_and_the_rest_is_small(photos: Path, on_device: bool) -> None:
    """A batch as a worker sends it: what is pickled of a sample is less than a tenth of its pixels (8 x 2 x 3 x 24^2)."""
    source = on_the_fly(photos, "clean", on_device=on_device)
    collated = collate([Augmented(source.sample(i), i) for i in range(8)])
    sent = len(ForkingPickler.dumps(collated))
    draws = len(ForkingPickler.dumps(collated.draws))
    assert sent - draws < 8 * 2 * 3 * 24**2 / 10
    assert draws < 8 * 2000
    received = pickle.loads(pickle.dumps(collated))  # noqa: S301  # our own
    equal(make_batch(collated, "cpu"), make_batch(received, "cpu"))


def test_a_sample_is_sent_with_its_pair_and_little_else(photos: Path) -> None:
    """Its geometry has no pixels: of a pair of 256 px 394,000 bytes are sent, where they were 1,183,000 with them."""
    source = OnTheFly(
        OnlineDataset(DatasetRequest(sources=photos, recipe=bs.load_recipe("clean"), size_px=64, seed=3)),
        "made",
        seed=3,
    )
    sample = source.sample(0)
    assert isinstance(sample, PairSample)
    assert sample.geometry is not None
    assert sample.geometry.image.nbytes == 4 * 3 * 64**2
    draw = len(pickle.dumps(sample.draw))
    assert len(pickle.dumps(sample)) - draw < 2 * 3 * 64**2 + 2000
    received = pickle.loads(pickle.dumps(sample))  # noqa: S301  # our own
    equal(batch_of([Augmented(received, 0)]), batch_of([Augmented(sample, 0)]))


def test_memory_is_pinned_where_pixels_lie(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch's DataLoader asks for it where there is CUDA."""
    before = on_the_fly(photos, "clean", on_device=True).sample(0)
    ready = on_the_fly(photos, "clean").sample(1)
    collated = collate([Augmented(before, 1), Augmented(ready, 2)])
    pinned: list[tuple[int, ...]] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: (pinned.append(tuple(self.shape)), self)[1])
    equal(make_batch(collated.pin_memory(), "cpu"), make_batch(collated, "cpu"))
    assert isinstance(before, Unblurred)
    side = 24 + 2 * (before.margin_px or 0)
    assert sorted(pinned) == sorted([(1, 3, side, side), (1, 3, 24, 24), (1, 3, 24, 24)])
