"""The order in which training reads a data set: a permutation, mixed window by window, whoever asks for it."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import chain, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blursynth as bs
from blursynth.dataset import BatchOrder, DatasetRequest, WindowOrder, generate
from blursynth.errors import InvalidValueError

sizes = st.tuples(st.integers(1, 60), st.integers(1, 12), st.one_of(st.none(), st.integers(1, 7)))


@given(sizes, st.integers(0, 2**40), st.integers(0, 3), st.data())
def test_each_sample_once_per_epoch(
    size: tuple[int, int, int | None], seed: int, epoch: int, data: st.DataObject
) -> None:
    count, length, window = size
    order = WindowOrder(count, length, window_shards=window, seed=seed)
    samples = [order.at(epoch, position) for position in range(count)]
    assert sorted(samples) == list(range(count))
    first = data.draw(st.integers(0, count))
    assert [i for part in order.indices(epoch, first) for i in part.tolist()] == samples[first:]
    again = pickle.loads(pickle.dumps(order))  # noqa: S301
    assert [again.at(epoch, position) for position in range(count)] == samples


@given(sizes, st.integers(0, 2**40))
def test_a_window_reads_from_its_shards_alone(size: tuple[int, int, int | None], seed: int) -> None:
    """The shards of a data set are read in groups; none is read again after its group."""
    count, length, window = size
    order = WindowOrder(count, length, window_shards=window, seed=seed)
    parts = [{i // length for i in part.tolist()} for part in order.indices(0)]
    assert all(len(part) <= order.window_shards for part in parts)
    assert sum(len(part) for part in parts) == -(-count // length), "groups are disjoint"


def test_every_order_is_as_likely_as_another() -> None:
    """7 samples in shards of 2, over 4,200 epochs, within 5 sigma of what counting all orders of shards gives."""
    epochs, expected = 4200, np.zeros((7, 7))
    for shards in permutations(range(4)):
        place = 0
        for window in (shards[:2], shards[2:]):
            samples = [i for shard in window for i in range(2 * shard, min(2 * shard + 2, 7))]
            expected[np.ix_(samples, range(place, place + len(samples)))] += 1 / len(samples) / 24
            place += len(samples)
    order, found = WindowOrder(7, 2, window_shards=2, seed=3), np.zeros((7, 7))
    for epoch in range(epochs):
        found[np.concatenate(list(order.indices(epoch))), np.arange(7)] += 1
    assert (np.abs(found - epochs * expected) <= 5 * np.sqrt(epochs * expected * (1 - expected))).all()
    whole = WindowOrder(7, 2, window_shards=4, seed=3)
    seen = Counter(tuple(np.concatenate(list(whole.indices(epoch)))[:2].tolist()) for epoch in range(epochs))
    assert len(seen) == 42
    assert max(abs(n - epochs / 42) for n in seen.values()) < 5 * np.sqrt(epochs / 42)


def test_by_default_small_data_sets_are_shuffled_as_a_whole() -> None:
    order = WindowOrder(65_536, 682, seed=1)
    assert order.window_shards == 97
    (all_of_them,) = order.indices(0)
    shards = all_of_them // 682
    # Two neighbors are of one of 97 shards once in 97 times.
    same = (shards[1:] == shards[:-1]).mean()
    assert abs(same - 682 / 65_536) < 5 * np.sqrt(682 / 65_536 / 65_536)


def test_a_billion_samples_need_no_table_of_them() -> None:
    order = WindowOrder(10**9, 10_000, window_shards=3, seed=1)
    found = [order.at(2, position) for position in (0, 1, 29_999, 30_000, 10**9 - 1)]
    assert len({i // 10_000 for i in found[:3]}) <= 3
    assert all(0 <= i < 10**9 for i in found)
    with pytest.raises(IndexError, match="position 1000000000 of 1000000000"):
        order.at(0, 10**9)


@given(st.integers(1, 50), st.sampled_from([1, 2, 3, 4]), st.integers(1, 3), st.integers(0, 20))
def test_ranks_share_the_same_batches(count: int, ranks: int, part: int, first_batch: int) -> None:
    pairs, size = range(count), part * ranks
    whole = BatchOrder(pairs, size, seed=5, drop_last=True)
    whole.set_epoch(2)
    batches = list(whole)
    assert len(batches) == len(whole) == count // size
    shared = [BatchOrder(pairs, size, seed=5, drop_last=True, rank=rank, ranks=ranks) for rank in range(ranks)]
    for one in shared:
        one.set_epoch(2, first_batch=first_batch)
    mine = [list(one) for one in shared]
    assert all(
        len(own) == len(one) == max(0, len(batches) - first_batch) for own, one in zip(mine, shared, strict=True)
    )
    assert [list(chain(*parts)) for parts in zip(*mine, strict=True)] == batches[first_batch:]


def test_the_last_batch_may_be_short() -> None:
    order = BatchOrder(range(10), 4, seed=1)
    sizes_of = [len(batch) for batch in order]
    assert sizes_of == [4, 4, 2]
    assert len(order) == 3
    order.set_epoch(0, first_batch=2)
    assert [len(batch) for batch in order] == [2]
    assert len(order) == 1


@pytest.fixture(scope="module")
def stored(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> bs.dataset.Dataset:
    out = tmp_path_factory.mktemp("ordered") / "pairs"
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("encode", bs.kinds.Encode())])
    request = DatasetRequest(sources=pictures, recipe=recipe, count=22, size_px=16, seed=4, shard_length=4)
    generate(request, out, workers=1)
    return bs.open_dataset(out)


def test_a_loader_resumes_in_the_middle_of_an_epoch(stored: bs.dataset.Dataset) -> None:
    """Any number of workers; the batches after a stop are those that would have followed."""
    torch_data = pytest.importorskip("torch.utils.data")

    def batches(workers: int, first_batch: int) -> list[list[int]]:
        order = BatchOrder(stored, 5, seed=2, window_shards=2)
        order.set_epoch(1, first_batch=first_batch)
        more = {"multiprocessing_context": "forkserver"} if workers else {}
        loader = torch_data.DataLoader(stored.as_torch(), batch_sampler=order, num_workers=workers, **more)
        return [batch["index"].tolist() for batch in loader]

    all_of_them = batches(0, 0)
    assert sorted(chain(*all_of_them)) == list(range(22))
    assert batches(2, 3) == all_of_them[3:]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata's import of torch
def test_it_works_with_a_stateful_loader(stored: bs.dataset.Dataset) -> None:
    """torchdata's loader keeps its own count of the batches that were used."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader() -> object:
        return stateful.StatefulDataLoader(stored.as_torch(), batch_sampler=BatchOrder(stored, 5, seed=2))

    first = loader()
    seen = iter(first)
    before = [next(seen)["index"].tolist() for _ in range(2)]
    state = first.state_dict()
    rest = [batch["index"].tolist() for batch in seen]
    resumed = loader()
    resumed.load_state_dict(state)
    assert [batch["index"].tolist() for batch in resumed] == rest
    assert len(before) + len(rest) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": 5, "ranks": 2, "drop_last": True}, "must be a multiple of the number of ranks, got 5 for 2"),
        ({"batch_size": 4, "ranks": 2, "rank": 2, "drop_last": True}, "rank must be >= 0 and below ranks = 2, got 2"),
        ({"batch_size": 4, "ranks": 2}, "drop_last must be true for several ranks"),
        ({"batch_size": 4, "window_shards": 0}, "window_shards must be an integer >= 1, got 0"),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        BatchOrder(range(10), **arguments)
    with pytest.raises(InvalidValueError, match="first_batch must be an integer >= 0, got -1"):
        BatchOrder(range(10), 2).set_epoch(0, first_batch=-1)
