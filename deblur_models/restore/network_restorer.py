"""Networks applied to images of any size, in tiles with blended overlap, and averaged over the eight symmetries."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, check_values
from deblur_models.networks import ALL, Network
from deblur_models.restore.onnx_network import OnnxNetwork
from deblur_models.restore.tiles import windows

__all__ = ["Identity", "NetworkRestorer", "OnTiles", "sees_all_of_it", "usual_tiles", "with_local_px"]

_LOG = logging.getLogger(__name__)

OnTiles = Callable[[int, int], None]
"""Called after every tile with the number of finished tiles and the total number for the image."""

_TILE_PX, _OVERLAP_PX = 512, 64
_WHOLE_UP_TO_PX = 2_000_000  # about 1920 x 1040; memory grows in proportion to it
_SMALLEST_TILE_PX = 64  # smaller tiles would be all overlap; without memory for this one, nothing fits


class Identity:
    """No restoration: returns the blurred images, the baseline of every table."""

    name = "no restoration"
    needs_kernel = False

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        return blurred


class NetworkRestorer:
    """A network as a :class:`~deblur_models.restore.restorer.Restorer`.

    Parameters
    ----------
    network
        Moved to the device and set to ``eval()``; or one in an ONNX file, which runs where its providers do.
    name
        Its name in reports; by default its kind.
    tile_px
        Side of the square tiles that the network sees, rounded up to its ``multiple_px``; None gives it the whole
        image. Device memory depends only on the tile size; the image itself stays on the CPU in float32.
    whole_up_to_px
        Images of at most this many pixels are processed whole, whatever ``tile_px`` is.
    overlap_px
        Minimum overlap of neighboring tiles, at most half a tile; by default 64 px or a quarter of the tile,
        whichever is less.
    ensemble
        Restore the image in its four rotations and their mirror images, and average the eight results after undoing
        the transforms. The result is then exactly equivariant; it takes eight times as long.
    device
        Where the network runs.
    autocast
        ``torch.bfloat16`` or ``torch.float16``: mixed precision; None computes in the precision of the weights.
    channels_last
        Use the channels-last layout, which speeds up convolutions with many channels on GPUs, and in bfloat16 on CPUs.
    on_tiles
        Called after every finished tile.
    padding
        Padding at the lower and right edges of images whose sides are not multiples of ``multiple_px``: ``mirror``
        (the mirrored image) or ``published`` (the padding of the network's published code: zeros, gray or repeated
        edges; it may rotate portrait images), for comparison with published figures. Those were measured on whole
        images (``tile_px=None``).

    Raises
    ------
    InvalidValueError
        A side is not positive, the overlap is more than half a tile, the network has no published padding, or there is
        too little memory for the smallest tile.

    Notes
    -----
    Every tile contributes the pixels in its interior and is blended with its neighbor in the middle of the overlap: the
    blend takes a quarter of the overlap, three eighths on either side are discarded. So the result equals that of
    the whole image if no pixel further away than ``3/8 overlap_px`` matters. Tiles begin at multiples of
    ``multiple_px``, since strided convolutions are equivariant only to such shifts.

    Networks that average over their whole input (channel attention, instance normalization, attention between channels)
    give results that depend on the tile size. ``local_px`` of NAFNet and HINet replaces such averages by averages over
    a window. The value in the checkpoint is used and never changed implicitly, because scores measured during training
    would no longer hold. If it is 0 in a tiled network, or if the network depends on its whole input in another way, a
    warning says so; :func:`with_local_px` changes it.

    If a CUDA device runs out of memory, the tile size is halved, which is logged and kept for later images.
    """

    needs_kernel = False

    def __init__(
        self,
        network: Network | OnnxNetwork,
        *,
        name: str | None = None,
        tile_px: int | None = None,
        whole_up_to_px: int = 0,
        overlap_px: int | None = None,
        ensemble: bool = False,
        device: torch.device | str = "cpu",
        autocast: torch.dtype | None = None,
        channels_last: bool = False,
        on_tiles: OnTiles | None = None,
        padding: Literal["mirror", "published"] = "mirror",
    ) -> None:
        if tile_px is not None and tile_px < 1:
            raise InvalidValueError(
                f"tile_px must be >= 1, or None for the whole picture, got {tile_px}.", fix="256 to 1024 is usual."
            )
        if overlap_px is not None and (overlap_px < 0 or (tile_px is not None and 2 * overlap_px > tile_px)):
            raise InvalidValueError(
                f"overlap_px must be 0 to half of tile_px, got {overlap_px} for a tile of {tile_px} px.",
                why="The middle of a tile must not overlap its neighbors.",
                fix="Use larger tiles or a smaller overlap.",
            )
        if autocast not in (None, torch.bfloat16, torch.float16):
            raise InvalidValueError(f"autocast must be torch.bfloat16, torch.float16 or None, got {autocast!r}.")
        fixed_px = network.size_px if isinstance(network, OnnxNetwork) else None
        if isinstance(network, OnnxNetwork) and (autocast is not None or channels_last):
            raise InvalidValueError(
                f"{network.path}: its precision and layout are those of its export, got autocast={autocast}, "
                f"channels_last={channels_last}.",
                fix="Leave them out, or export the network in this precision.",
            )
        if padding not in ("mirror", "published"):
            raise InvalidValueError(f"padding must be 'mirror' or 'published', got {padding!r}.")
        if padding == "published" and network.config.published_padding is None:
            kinds = [kind.kind for kind in ALL if kind.of_size("tiny").published_padding is not None]
            raise InvalidValueError(
                f"padding = 'published': the published code of {network.config.kind} does not pad images.",
                fix=f"Leave it out; {', '.join(kinds)} have one.",
            )
        self.padding = padding
        self.name = name if name is not None else network.config.kind
        if fixed_px is not None:  # tiles become multiples, and must fit in all the same
            multiple_px = network.config.multiple_px
            largest = max(min(fixed_px) // multiple_px * multiple_px, multiple_px)
            tile_px = min(tile_px or largest, largest)
        self.tile_px = tile_px
        self.whole_up_to_px = whole_up_to_px
        self.overlap_px = overlap_px
        self.ensemble = ensemble
        self.device = torch.device(device)
        self.autocast = autocast
        self.channels_last = channels_last
        self.on_tiles = on_tiles
        self.network = network.to(self.device).eval()
        if channels_last:
            # torch names only the other memory formats in the types of this method
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._warned = False

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        """``[B, 3, H, W]`` in 0..1 to restored images in float32, on the device of ``blurred``; not clipped to 0..1."""
        if blurred.ndim != 4 or blurred.shape[1] != 3 or not blurred.is_floating_point() or 0 in blurred.shape:
            raise InvalidValueError(
                f"restore takes floating-point tensors [B, 3, H, W] with values 0..1, got {blurred.dtype} "
                f"of shape {list(blurred.shape)}.",
                fix="Convert 8-bit codes with x / 255; repeat a gray image over three channels.",
            )
        check_values(blurred, Encoding.DISPLAY, name="restore: the picture")
        picture = blurred.detach().to("cpu", torch.float32)
        views = 8 if self.ensemble else 1
        total = torch.zeros_like(picture)
        for view in range(views):
            total += _turned_back(self._padded(_turned(picture, view), view, views), view)
        return (total / views).to(blurred.device)

    def _padded(self, picture: Tensor, view: int, views: int) -> Tensor:
        rule = self.network.config.published_padding if self.padding == "published" else None
        if rule is None:
            return self._tiled(picture, view, views)
        return rule.cut(self._tiled(rule.pad(picture), view, views), picture)

    def _tiled(self, picture: Tensor, view: int, views: int) -> Tensor:
        while True:
            try:
                return self._once(picture, view, views)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                side = min(self._tile_of(picture), max(picture.shape[-2:]))
                smallest = max(_SMALLEST_TILE_PX, self.network.config.multiple_px)
                if side <= smallest:
                    raise InvalidValueError(
                        f"{self.name}: {self.device} does not have enough memory for a tile of {side} px.",
                        fix="Free memory on the device, use mixed precision, or run on the CPU.",
                    ) from None
                # Continue outside the except block: the exception keeps the failed tensors alive.
                reason = str(error).partition("\n")[0]
            self.tile_px, self.whole_up_to_px = max(smallest, side // 2), 0
            if self.overlap_px is not None:
                self.overlap_px = min(self.overlap_px, self.tile_px // 2)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            _LOG.warning("%s: out of memory, continuing with tiles of %d px (%s)", self.name, self.tile_px, reason)

    def _tile_of(self, picture: Tensor) -> int:
        height, width = picture.shape[-2:]
        fixed_px = getattr(self.network, "size_px", None)
        fits = fixed_px is not None and height <= fixed_px[0] and width <= fixed_px[1]
        if self.tile_px is None or fits or (fixed_px is None and height * width <= self.whole_up_to_px):
            return max(height, width)
        return self.tile_px

    @torch.inference_mode()
    def _once(self, picture: Tensor, view: int, views: int) -> Tensor:
        height, width = picture.shape[-2:]
        tile_px = self._tile_of(picture)
        overlap_px = self.overlap_px if self.overlap_px is not None else min(_OVERLAP_PX, tile_px // 4)
        multiple_px = self.network.config.multiple_px
        rows = windows(height, tile_px, overlap_px, multiple_px)
        columns = windows(width, tile_px, overlap_px, multiple_px)
        out = torch.zeros_like(picture)
        tiles = len(rows) * len(columns)
        done = view * tiles
        if tiles > 1:
            self._warn_of_averages(tile_px)
        for row in rows:
            for column in columns:
                tile = self._network(picture[..., row.start : row.stop, column.start : column.stop])
                shown = tile[..., row.inside(), column.inside()]
                out[..., row.shown(), column.shown()] += shown * row.weight[:, None] * column.weight
                done += 1
                if self.on_tiles is not None:
                    self.on_tiles(done, tiles * views)
        return out

    def _warn_of_averages(self, tile_px: int) -> None:
        if self._warned or not sees_all_of_it(self.network):
            return
        advice = "use the whole image if memory allows (tile_px=None, --tile 0), or larger tiles"
        if self.network.config.fields().get("local_px") == 0:
            advice += ", or set a window instead (local_px, --local-px; published: 1.5 times the training patches)"
        self._warned = True
        _LOG.warning(
            "%s averages over its whole input, so its results depend on the tile of %d px: %s.",
            self.name,
            tile_px,
            advice,
        )

    def _network(self, tile: Tensor) -> Tensor:
        """The network on one tile; its weights determine the precision, the result is float32 on the CPU."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        weights = next(self.network.parameters(), tile)
        given = tile.to(self.device, weights.dtype).contiguous(memory_format=layout)
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            restored: Tensor = self.network(given)
        return restored.to("cpu", torch.float32)


def _turned(picture: Tensor, view: int) -> Tensor:
    """One of the eight views: mirrored from 4 on, then rotated by ``view % 4`` quarter turns."""
    mirrored = picture.flip(-1) if view >= 4 else picture
    return torch.rot90(mirrored, view % 4, (-2, -1))


def _turned_back(picture: Tensor, view: int) -> Tensor:
    back = torch.rot90(picture, -(view % 4), (-2, -1))
    return back.flip(-1) if view >= 4 else back


def _is_out_of_memory(error: BaseException) -> bool:
    # The CPU's allocator has no error class of its own.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def sees_all_of_it(network: Network | OnnxNetwork) -> bool:
    """Whether each output pixel of a network depends on its whole input, so that tiles change the result."""
    fields = network.config.fields()
    return (
        fields.get("local_px") == 0
        or fields.get("norm") in ("instance", "batch_stats")
        or network.config.sees_everything
    )


def usual_tiles(network: Network | OnnxNetwork) -> dict[str, Any]:
    """Tiles of 512 px; networks whose results depend on the tile process images of up to two million pixels whole.

    >>> from deblur_models.networks import create_network
    >>> usual_tiles(create_network("nafnet", size="tiny"))
    {'tile_px': 512, 'whole_up_to_px': 2000000}
    """
    return {"tile_px": _TILE_PX, "whole_up_to_px": _WHOLE_UP_TO_PX if sees_all_of_it(network) else 0}


def with_local_px(network: Network | OnnxNetwork, local_px: int) -> Network:
    """The same weights in a network that averages over windows of ``local_px`` instead of the image (0: whole image).

    Raises
    ------
    InvalidValueError
        The architecture has no such window, its size is out of range, or the network is in an ONNX file.
    """
    if isinstance(network, OnnxNetwork):
        raise InvalidValueError(
            f"{network.path}: local_px cannot be changed in an exported network.", fix="Set it before the export."
        )
    if "local_px" not in type(network.config).model_fields:
        kinds = [config.kind for config in ALL if "local_px" in config.model_fields]
        raise InvalidValueError(
            f"{network.config.kind} has no local_px.",
            fix=f"Leave it out; test-time local conversion exists for {', '.join(kinds)}.",
        )
    changed: Network = network.config.replace(local_px=local_px).build()
    changed.load_state_dict(network.state_dict())
    return changed.train(network.training)
