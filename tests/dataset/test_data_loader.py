"""Both kinds of data set are data sets for anybody's loop, and for torch's DataLoader with its default collation."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.dataset import DatasetRequest, OnlineDataset, Sample, Samples, generate

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, RandomSampler, Subset, default_collate, random_split  # noqa: E402

CLEAN = bs.Recipe(
    [
        ("decode", bs.kinds.Decode()),
        ("lens", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.3, 2.0))),
        ("encode", bs.kinds.Encode()),
    ],
    name="clean",
)
COUNT, SIZE = 10, 24


@pytest.fixture(scope="module")
def online(pictures: Path) -> OnlineDataset:
    return OnlineDataset(DatasetRequest(sources=pictures, recipe=CLEAN, size_px=SIZE, seed=4, count=COUNT), workers=1)


@pytest.fixture(scope="module")
def stored(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> bs.dataset.Dataset:
    out = tmp_path_factory.mktemp("stored") / "pairs"
    generate(
        DatasetRequest(sources=pictures, recipe=CLEAN, count=COUNT, size_px=SIZE, seed=4, shard_length=4),
        out,
        workers=1,
    )
    return bs.open_dataset(out)


@pytest.fixture(params=["stored", "online"])
def pairs(request: pytest.FixtureRequest) -> Samples:
    return request.getfixturevalue(request.param)


def test_it_is_a_sequence(pairs: Samples) -> None:
    assert len(pairs) == COUNT
    assert [sample.index for sample in pairs] == list(range(COUNT))
    assert pairs[-1].index == COUNT - 1
    assert pairs[np.int64(3)].index == 3
    assert [sample.index for sample in pairs[-2:]] == [8, 9]
    assert [sample.index for sample in reversed(pairs)] == list(range(COUNT))[::-1]
    for beyond in (COUNT, -COUNT - 1, 2**70):
        with pytest.raises(IndexError, match="of 10"):
            pairs[beyond]
    with pytest.raises(TypeError, match=r"integer, got 1\.5"):
        pairs[1.5]  # type: ignore[call-overload]
    counted = 0
    try:  # the old protocol of loops, which some libraries use
        while True:
            pairs[counted]
            counted += 1
    except IndexError:
        assert counted == COUNT


def test_an_endless_one_has_no_length_but_everything_else(pictures: Path) -> None:
    endless = OnlineDataset(DatasetRequest(sources=pictures, recipe=CLEAN, size_px=SIZE, seed=4), workers=1)
    with pytest.raises(TypeError, match=r"is endless.*count=10000.*sampler=range"):
        len(endless)
    with pytest.raises(TypeError, match="is endless"):
        endless[-1]
    with pytest.raises(TypeError, match="is endless"):
        next(iter(DataLoader(endless, batch_size=2)))
    with pytest.raises(IndexError):
        endless[2**62]
    assert endless
    assert endless.as_torch()
    several = iter(endless)
    assert [next(several).index for _ in range(3)] == [0, 1, 2]
    assert [sample.index for sample in endless[3:9:3]] == [3, 6]
    read = [batch["index"].tolist() for batch in DataLoader(endless, batch_size=2, sampler=range(10**6, 10**6 + 5))]
    assert read == [[10**6, 10**6 + 1], [10**6 + 2, 10**6 + 3], [10**6 + 4]]


def test_a_sample_shows_no_pixels_and_is_what_can_be_put_into_a_batch(pairs: Samples) -> None:
    sample = pairs[2]
    assert repr(sample) == f"Sample(2: pair of 24x24 px uint8 from {sample.source!r})"
    assert isinstance(sample, Mapping)
    assert list(sample) == ["index", "sharp", "blurred"]
    assert sample["sharp"] is sample.sharp
    with pytest.raises(KeyError):
        sample["draw"]
    assert sample == sample
    assert sample != pairs[2]
    assert len({sample, pairs[2]}) == 2
    assert pickle.loads(pickle.dumps(sample)).draw == sample.draw  # noqa: S301


def test_kernels_of_a_stored_set_are_in_the_batch_too(made: Path) -> None:
    batch = default_collate(bs.open_dataset(made)[:3])
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "index": (3,), "sharp": (3, 32, 32, 3), "blurred": (3, 32, 32, 3), "kernel": (3, 33, 33),
    }  # fmt: skip
    assert "kernel" in repr(bs.open_dataset(made)[0])


def collected(loader: DataLoader) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:  # type: ignore[type-arg]
    for batch in loader:
        assert type(batch) is dict
        for index, sharp, blurred in zip(batch["index"], batch["sharp"], batch["blurred"], strict=True):
            yield int(index), sharp.numpy(), blurred.numpy()


def check(pairs: Samples, loader: DataLoader, *, shuffled: bool = False) -> None:  # type: ignore[type-arg]
    found = list(collected(loader))
    order = [index for index, _, _ in found]
    assert sorted(order) == list(range(COUNT))
    assert (order != sorted(order)) is shuffled
    for index, sharp, blurred in found:
        assert (sharp == pairs[index].sharp).all()
        assert (blurred == pairs[index].blurred).all()


def test_a_data_loader_takes_it_as_it_is(pairs: Samples) -> None:
    loader = DataLoader(pairs, batch_size=4)
    assert len(loader) == 3
    check(pairs, loader)
    first = next(iter(loader))
    assert first["sharp"].dtype is torch.uint8
    assert tuple(first["sharp"].shape) == (4, SIZE, SIZE, 3)
    check(
        pairs, DataLoader(pairs, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(1)), shuffled=True
    )
    alone = next(iter(DataLoader(pairs, batch_size=None)))  # samples are converted one by one
    assert tuple(alone["sharp"].shape) == (SIZE, SIZE, 3)
    some, rest = random_split(pairs, [3, COUNT - 3])
    assert len(rest) == COUNT - 3
    assert next(iter(DataLoader(some, batch_size=3)))["index"].tolist() == list(some.indices)
    assert len(list(RandomSampler(pairs, replacement=True, num_samples=25))) == 25
    draws = next(iter(DataLoader(pairs, batch_size=2, collate_fn=lambda samples: [s.draw for s in samples])))
    assert draws == [pairs[0].draw, pairs[1].draw]


def test_as_torch_is_what_networks_take(pairs: Samples) -> None:
    batch = next(iter(DataLoader(pairs.as_torch(), batch_size=4)))
    assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items()} == {
        "index": ((4,), torch.int64),
        "sharp": ((4, 3, SIZE, SIZE), torch.float32),
        "blurred": ((4, 3, SIZE, SIZE), torch.float32),
    }
    # torchvision's ToTensor: channels first, divided by 255.
    expected = torch.from_numpy(pairs[2].blurred).permute(2, 0, 1).float() / 255
    assert torch.equal(batch["blurred"][2], expected)
    tensors = pairs.as_torch()
    assert len(tensors) == COUNT
    assert tensors[-1]["index"] == COUNT - 1
    assert [item["index"] for item in tensors] == [item["index"] for item in tensors[:]] == list(range(COUNT))
    assert next(iter(DataLoader(Subset(tensors, [5, 1]), batch_size=2)))["index"].tolist() == [5, 1]
    assert repr(tensors).endswith(").as_torch()")


def test_as_torch_gives_other_types_and_kernels(pairs: Samples, made: Path) -> None:
    assert pairs.as_torch()[0]["sharp"].is_contiguous()
    half = pairs.as_torch(dtype=torch.bfloat16)
    assert torch.equal(half[1]["blurred"], pairs.as_torch()[1]["blurred"].bfloat16())
    assert pickle.loads(pickle.dumps(half))[1]["sharp"].dtype is torch.bfloat16  # noqa: S301
    for wrong in (torch.uint8, torch.complex64, "float32", np.float32):
        with pytest.raises(bs.InvalidValueError, match="dtype must be a floating-point type of torch") as error:
            pairs.as_torch(dtype=wrong)
        assert error.value.field == "dtype"
    stored = bs.open_dataset(made)
    kernel = next(iter(DataLoader(stored.as_torch(), batch_size=3)))["kernel"]
    assert kernel.dtype is torch.float32
    assert np.array_equal(kernel[2].numpy(), stored[2].kernel)


def test_codes_of_16_bits_and_light_keep_their_values(pictures: Path) -> None:
    deep = bs.Recipe([("decode", bs.kinds.Decode()), ("encode", bs.kinds.Encode(bit_depth=16))], name="deep")
    light = bs.Recipe([("decode", bs.kinds.Decode()), ("lens", bs.kinds.GaussianBlur(sigma_px=0.5))], name="light")
    for recipe, top in ((deep, 65535.0), (light, 1.0)):
        online = OnlineDataset(DatasetRequest(sources=pictures, recipe=recipe, size_px=16, seed=1, count=2), workers=1)
        batch = next(iter(DataLoader(online.as_torch(), batch_size=2)))
        for row in range(2):
            expected = online[row].sharp.astype(np.float64) / top
            np.testing.assert_allclose(batch["sharp"][row].permute(1, 2, 0).numpy(), expected, rtol=1e-6)
        assert next(iter(DataLoader(online, batch_size=2)))["sharp"].shape == (2, 16, 16, 3)


def test_workers_that_are_forked(pairs: Samples) -> None:
    loader = DataLoader(
        pairs, batch_size=4, shuffle=True, num_workers=2, persistent_workers=True, multiprocessing_context="fork",
        generator=torch.Generator().manual_seed(1), timeout=60,
    )  # fmt: skip
    for _ in range(2):
        check(pairs, loader, shuffled=True)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_workers_that_begin_anew(pairs: Samples, start: str) -> None:
    loader = DataLoader(
        pairs, batch_size=4, num_workers=2, persistent_workers=True, multiprocessing_context=start, timeout=300
    )
    for _ in range(2):
        check(pairs, loader)


def test_what_travels_to_a_worker_holds_no_pixels(pairs: Samples) -> None:
    pairs[0]
    sent = pickle.dumps(pairs)
    assert len(sent) < 10_000
    assert (pickle.loads(sent)[3].blurred == pairs[3].blurred).all()  # noqa: S301


def test_a_worker_reads_stored_pairs_without_compilers(stored: Samples, tmp_path: Path) -> None:
    """Reading stored pairs loads none of the libraries that blurring needs, and nothing loads torch."""
    (tmp_path / "pairs.pickle").write_bytes(pickle.dumps(stored))
    code = (
        "import pickle, sys; pairs = pickle.load(open(sys.argv[1], 'rb')); pairs[3]; "
        "print(*{'numba', 'scipy', 'torch', 'zarr', 'distributed'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "pairs.pickle")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_samples_are_samples(pairs: Samples) -> None:
    assert all(isinstance(sample, Sample) for sample in pairs.__getitems__([3, -1, 0]))
    assert [sample.index for sample in pairs.__getitems__([3, -1, 0])] == [3, 9, 0]
