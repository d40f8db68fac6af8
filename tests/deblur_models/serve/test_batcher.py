"""Which pictures are restored together, and that each comes out as if it were alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from deblur_models.data.picture_file import PictureFile
from deblur_models.networks import ALL, create_network
from deblur_models.restore.network_restorer import NetworkRestorer
from deblur_models.restore.restorer import Restorer
from deblur_models.serve.batcher import Batcher, Job, batch_size_px
from deblur_models.serve.limits import Limits, Refusal
from deblur_models.serve.metrics import Metrics


class Recorder:
    """Returns what it gets, keeps the shapes, and waits for ``gate``, with the warm-up already."""

    name = "recorder"
    needs_kernel = False

    def __init__(self) -> None:
        self.gate, self.shapes = threading.Event(), list[tuple[int, ...]]()

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        assert self.gate.wait(20)
        self.shapes.append(tuple(blurred.shape))
        return blurred


def file(height: int, width: int, seed: int = 0) -> PictureFile:
    codes = np.random.Generator(np.random.Philox(seed)).integers(0, 256, (height, width, 3), np.uint8)
    return PictureFile(Path("upload"), codes)


def restored(
    restorer: Restorer, files: Sequence[PictureFile], before: Callable[[Batcher], None] | None = None, **limits: float
) -> list[Tensor]:
    """All results; ``before`` is called when every picture is in the queue."""

    async def run() -> list[Tensor]:
        batcher = Batcher(restorer, Limits(**limits), Metrics())  # type: ignore[arg-type]
        answers = [asyncio.create_task(batcher.restore(Job(one, 1.0))) for one in files]
        await asyncio.sleep(0.05)
        if before is not None:
            before(batcher)
        results = await asyncio.gather(*answers)
        batcher.stop()
        return results

    return asyncio.run(run())


def test_batches_are_of_one_size_within_the_limit_and_in_order() -> None:
    recorder = Recorder()
    sizes = [(8, 8), (8, 16), (8, 8), (8, 8), (8, 8), (8, 16), (40, 40), (8, 8)]
    files = [file(*size, seed=seed) for seed, size in enumerate(sizes)]
    results = restored(recorder, files, lambda _: recorder.gate.set(), batch_px=200)
    # Three of 64 px fit into 200, or one of 128, and what is larger runs alone.
    assert [shape[:1] + shape[2:] for shape in recorder.shapes[1:]] == [
        (3, 8, 8), (1, 8, 16), (2, 8, 8), (1, 8, 16), (1, 40, 40),
    ]  # fmt: skip
    for one, result in zip(files, results, strict=True):
        assert torch.equal(result, one.tensor())


def test_an_idle_network_waits_for_others_as_long_as_it_is_told() -> None:
    for wait_s, first in ((0.0, 1), (5.0, 3)):
        recorder = Recorder()
        recorder.gate.set()

        async def run(recorder: Recorder = recorder, wait_s: float = wait_s) -> None:
            batcher = Batcher(recorder, Limits(batch_px=192, batch_wait_s=wait_s), Metrics())
            batcher.start()
            while not batcher.is_ready:
                await asyncio.sleep(0.001)
            answers = []
            for seed in range(3):
                answers.append(asyncio.create_task(batcher.restore(Job(file(8, 8, seed), 1.0))))
                await asyncio.sleep(0.05)
            await asyncio.wait_for(asyncio.gather(*answers), 2)  # a full batch does not wait
            batcher.stop()

        asyncio.run(run())
        assert recorder.shapes[1][0] == first


def test_a_lone_picture_waits_no_longer_than_it_must() -> None:
    recorder = Recorder()
    recorder.gate.set()
    assert len(restored(recorder, [file(8, 8)], batch_px=1000, batch_wait_s=0.1)) == 1


def test_what_waits_is_refused_at_the_end() -> None:
    recorder = Recorder()

    def stop(batcher: Batcher) -> None:
        batcher.stop()
        recorder.gate.set()

    with pytest.raises(Refusal, match="shutting down"):
        restored(recorder, [file(8, 8), file(9, 9)], stop)
    assert not {(8, 8), (9, 9)} & {shape[2:] for shape in recorder.shapes}


QUICK = ("nafnet", "drunet", "restormer")
KINDS = [pytest.param(c.kind, marks=[] if c.kind in QUICK else pytest.mark.slow) for c in ALL]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_like_size_come_out_as_if_each_were_alone(kind: str) -> None:
    torch.manual_seed(2)
    network = create_network(kind, size="tiny").eval()
    alone = NetworkRestorer(network)
    multiple_px = network.config.multiple_px
    side = multiple_px * -(-32 // multiple_px)
    # Up to nearly a multiple smaller than the size at which they join, and not the same in height and width.
    files = [file(side, side, 1), file(side - multiple_px + 1, side, 2), file(side, side - multiple_px // 2, 3)]
    assert len({batch_size_px(alone, *one.size_px) for one in files}) == 1
    results = restored(alone, files, batch_px=10 * side**2, batch_wait_s=0.2)
    for one, result in zip(files, results, strict=True):
        expected = alone.restore(one.tensor())
        # Not the same bits: convolutions sum in another order when there are more pictures. 1/39 of an 8-bit code.
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)


def test_sizes_are_only_alike_where_the_padding_is_the_networks_own() -> None:
    network = create_network("nafnet", "tiny", width=4)  # multiples of 8 px
    assert batch_size_px(NetworkRestorer(network), 61, 50) == (64, 56)
    for options in ({"ensemble": True}, {"padding": "published"}, {"tile_px": 63}):
        assert batch_size_px(NetworkRestorer(network, **options), 61, 50) == (61, 50)  # type: ignore[arg-type]
    assert batch_size_px(NetworkRestorer(network, tile_px=64), 61, 50) == (64, 56)
    assert batch_size_px(NetworkRestorer(network, tile_px=16, whole_up_to_px=64 * 56), 61, 50) == (64, 56)
    assert batch_size_px(Recorder(), 61, 50) == (61, 50)
