"""Photographs that come inside scikit-image, by name."""

from __future__ import annotations

import pytest

from blursynth.dataset import scan_sources
from blursynth.dataset.bundled import BUNDLED, bundled_photographs, with_bundled
from blursynth.errors import InvalidValueError, MissingExtraError


def test_bundled_photographs_are_there_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    training, held_out = bundled_photographs("training"), bundled_photographs("held-out")
    assert all(path.is_file() for path in [*training, *held_out])
    assert not {p.name for p in training} & {p.name for p in held_out}
    assert all(license for part in BUNDLED.values() for license in part.values())
    with pytest.raises(InvalidValueError, match=r"no bundled photographs 'trainin'.*'training'"):
        bundled_photographs("trainin")
    assert with_bundled(["a", "bundled:held-out", "b/*.png"]) == ["a", *held_out, "b/*.png"]
    assert {s.name for s in scan_sources("bundled:held-out").usable} == {"chelsea.png", "coffee.png"}
    monkeypatch.setattr("blursynth.dataset.bundled.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="scikit-image, which is not installed"):
        bundled_photographs("training")
