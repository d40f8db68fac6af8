"""Several data sets read as one, in given proportions: exact counts, the same order for everybody."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.dataset import BatchOrder, DatasetRequest, Mixture, OnlineDataset, WindowOrder, generate, order
from blursynth.dataset.order import MixedOrder
from blursynth.errors import InvalidValueError

LENGTHS, WEIGHTS, LENGTH = (7, 40, 3), (2.0, 1.0, 1.0), 90


def mixed(*, length: int = LENGTH, seed: int = 5, weights: tuple[float, ...] = WEIGHTS) -> MixedOrder:
    parts = [WindowOrder(n, 2, window_shards=2, seed=seed, name=f"order.{k}") for k, n in enumerate(LENGTHS)]
    return MixedOrder(parts, weights, length, seed=seed)


def epoch_of(one: MixedOrder, epoch: int, first: int = 0) -> list[int]:
    return [i for part in one.indices(epoch, first) for i in part.tolist()]


def set_of(index: int) -> int:
    return int(np.searchsorted(np.cumsum(LENGTHS), index, side="right"))


@pytest.mark.parametrize("block", [2**16, 16, 10])
def test_counts_are_exact(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every epoch, of every block, and of every sample: none is used twice more than another one of its set."""
    monkeypatch.setattr(order, "MIXED_SAMPLES", block)
    one, used = mixed(), Counter()
    # 2 : 1 : 1 of 90 in halves, 45 : 22.5 : 22.5; of 16, 8 : 4 : 4; of 10, 5 : 2.5 : 2.5; the rest of blocks of 16 is 10.
    expected = {2**16: [45, 23, 22], 16: [5 * 8 + 5, 5 * 4 + 3, 5 * 4 + 2], 10: [45, 27, 18]}[block]
    for epoch in range(40):
        samples = epoch_of(one, epoch)
        used.update(samples)
        assert np.bincount([set_of(i) for i in samples]).tolist() == expected
        starts = range(0, LENGTH - block + 1, block)
        assert len({tuple(np.bincount([set_of(i) for i in samples[s : s + block]])) for s in starts}) <= 1
    for number in range(3):
        times = [used[i] for i in range(sum(LENGTHS)) if set_of(i) == number]
        assert max(times) - min(times) <= 1
        assert sum(times) == 40 * expected[number]


def test_the_places_of_a_set_are_random() -> None:
    """Each position has a sample of a set as often as its share says, and so have two neighbors; within 5 sigma."""
    epochs, one = 3000, mixed(length=12, weights=(3, 2, 1))
    owners = np.array([[set_of(i) for i in epoch_of(one, epoch)] for epoch in range(epochs)])
    for number, count in enumerate((6, 4, 2)):
        here, share = owners == number, count / 12
        assert (np.abs(here.sum(0) - epochs * share) <= 5 * np.sqrt(epochs * share * (1 - share))).all()
        both, pair = (here[:, :-1] & here[:, 1:]).sum(0), share * (count - 1) / 11
        assert (np.abs(both - epochs * pair) <= 5 * np.sqrt(epochs * pair * (1 - pair))).all()


def test_an_epoch_goes_on_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MIXED_SAMPLES", 16)
    one = mixed()
    for epoch in (0, 3):
        whole = epoch_of(one, epoch)
        assert all(epoch_of(one, epoch, first) == whole[first:] for first in range(LENGTH + 1))
        assert epoch_of(pickle.loads(pickle.dumps(one)), epoch) == whole  # noqa: S301
    assert epoch_of(one, 0) != epoch_of(one, 1)
    assert epoch_of(one, 0) != epoch_of(mixed(seed=6), 0)


@pytest.fixture(scope="module")
def sets(pictures: Path, recipe: bs.Recipe, tmp_path_factory: pytest.TempPathFactory) -> list[bs.Dataset]:
    room, opened = tmp_path_factory.mktemp("mixed"), []
    for name, count in (("five", 5), ("three", 3)):
        request = DatasetRequest(sources=pictures, recipe=recipe, count=count, size_px=32, seed=count, shard_length=2)
        generate(request, room / name, workers=1)
        opened.append(bs.open_dataset(room / name))
    return opened


def test_it_holds_the_samples_of_all_sets(sets: list[bs.Dataset], pictures: Path, recipe: bs.Recipe) -> None:
    online = OnlineDataset(DatasetRequest(sources=pictures, recipe=recipe, count=4, size_px=32, seed=9))
    mixture = Mixture([*sets, online])
    assert len(mixture) == 12
    wanted = [*sets[0], *sets[1], *online]
    for i, sample in zip((11, 0, 6, 5, 4), mixture.__getitems__([11, 0, 6, 5, 4]), strict=True):
        assert sample.index == i
        np.testing.assert_array_equal(sample.blurred, wanted[i].blurred)
        assert sample.draw == wanted[i].draw
    np.testing.assert_array_equal(mixture[-1].sharp, wanted[11].sharp)
    with pytest.raises(IndexError, match="sample 12 of 12"):
        mixture[12]


def test_ranks_share_the_batches(sets: list[bs.Dataset]) -> None:
    mixture = Mixture(sets, weights=[1, 3], epoch_length=16)
    alone = BatchOrder(mixture, 4, seed=7)
    alone.set_epoch(2)
    batches = list(alone)
    assert len(alone) == len(batches) == 4
    assert Counter(i < 5 for batch in batches for i in batch) == {True: 4, False: 12}
    parts = []
    for rank in range(2):
        part = BatchOrder(mixture, 4, seed=7, rank=rank, ranks=2, drop_last=True)
        part.set_epoch(2)
        parts.append(list(part))
    assert [a + b for a, b in zip(*parts, strict=True)] == batches
    alone.set_epoch(2, first_batch=3)
    assert list(alone) == batches[3:]
    # Without weights, an epoch is all samples once.
    assert sorted(i for batch in BatchOrder(Mixture(sets), 3) for i in batch) == list(range(8))


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata's import of torch
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_reads_it(sets: list[bs.Dataset], workers: int) -> None:
    """With torchdata's loader, which is stopped in the middle of an epoch and goes on with another number of workers."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    mixture = Mixture(sets, weights=[1, 3], epoch_length=16)
    tensors = mixture.as_torch()

    def loader(workers: int) -> object:
        return stateful(tensors, batch_sampler=BatchOrder(mixture, 4, seed=7), num_workers=workers)

    expected = list(BatchOrder(mixture, 4, seed=7))
    first = loader(workers)
    reading = iter(first)  # type: ignore[call-overload]
    begun = [next(reading) for _ in range(2)]
    state = first.state_dict()  # type: ignore[attr-defined]
    del reading
    second = loader(workers)
    second.load_state_dict(state)  # type: ignore[attr-defined]
    batches = [*begun, *second]  # type: ignore[misc]
    assert [batch["index"].tolist() for batch in batches] == expected
    for i, blurred in zip(batches[2]["index"].tolist(), batches[2]["blurred"], strict=True):
        np.testing.assert_array_equal(np.rint(blurred.numpy() * 255), np.moveaxis(mixture[i].blurred, -1, 0))


def test_what_cannot_be_mixed(sets: list[bs.Dataset], made: Path, pictures: Path, recipe: bs.Recipe) -> None:
    small = DatasetRequest(sources=pictures, recipe=recipe, count=2, size_px=16)
    endless = OnlineDataset(small.replace(count=None, size_px=32))
    for arguments, message in (
        (([],), r"sets is empty"),
        (
            ([*sets, OnlineDataset(small)],),
            r"sets\[2\] has .*sharp 16x16x3 uint8.*but the first has .*sharp 32x32x3 uint8",
        ),
        (([sets[0], bs.open_dataset(made)],), r"sets\[1\] has .*kernel 33x33 float32.*but the first has"),
        (([endless],), r"sets\[0\] is endless. Give its request a count"),
        (([sets[0], [1, 2]],), r"sets\[1\] must be a data set of pairs, got list"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            Mixture(*arguments)  # type: ignore[arg-type]
    for weights in ([1.0], [1.0, 0.0], [1.0, float("nan")], [1.0, float("inf")], [-1.0, 2.0]):
        with pytest.raises(InvalidValueError, match="weights must be a number > 0 for each of 2 sets"):
            Mixture(sets, weights=weights)
    for length in (0, True, 1.5):
        with pytest.raises(InvalidValueError, match="epoch_length must be an integer >= 1"):
            Mixture(sets, epoch_length=length)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"weights\[1\] = 0.01 is too small. An epoch of 20 samples would have"):
        BatchOrder(Mixture(sets, weights=[1.0, 0.01], epoch_length=20), 4)
