"""How a batch of pictures is blurred with occlusion: the scenes on the CPU, the light of all of them in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blursynth.backends import for_array
from blursynth.core import cropped, in_groups
from blursynth.frame import Border, Frame, Window
from blursynth.physics.scene import Scene

__all__ = ["composited", "on_cpu"]


def on_cpu(frame: Frame) -> Frame:
    """The frame with pixels, depth and labels where scenes are made; they come from a device in one copy each."""
    if isinstance(frame.image, np.ndarray) or frame.image.device.type == "cpu":
        return frame
    maps = {
        name: values.detach().cpu()
        for name in ("depth_m", "labels")
        if hasattr(values := getattr(frame, name), "detach")
    }
    return Frame.unchecked(**{**vars(frame), "image": frame.image.detach().cpu(), **maps})


def composited(scenes: Sequence[Scene | None], borders: Sequence[Border], frame: Frame, window: Window) -> Frame:
    """A window of the frame with the light of these scenes, one for each picture; None leaves a picture as it is."""

    def sort(b: int) -> object:
        scene = scenes[b]
        if scene is None:
            return None
        # Scenes whose parts have centers of their own go alone.
        center = None if scene.part_center is None else scene.part_center.tobytes()
        return borders[b], scene.connected, scene.front is None, scene.part_weight.tobytes(), center

    def act(chosen: Sequence[int], part: Frame) -> Frame:
        wanted = [scene for b in chosen if (scene := scenes[b]) is not None]
        within = cropped(part, window)
        if not wanted:
            return within
        image = for_array(part.image).composite(part.image, wanted, border=borders[chosen[0]], window=window)
        return within.with_image(image)

    return in_groups(range(len(scenes)), frame, sort, act)
