"""Distances of feature maps: known values, and the code of attention transfer's authors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.losses.distillation import attention_distance, feature_distance


def maps(seed: int, channels: int = 5) -> Tensor:
    return torch.randn(2, channels, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_features_are_measured_by_the_teachers() -> None:
    teacher = maps(0)
    assert feature_distance(teacher, teacher) == 0
    assert feature_distance(torch.zeros_like(teacher), teacher).item() == pytest.approx(1)
    assert feature_distance(3 * teacher, teacher).item() == pytest.approx(4)
    assert feature_distance(teacher, 3 * teacher).item() == pytest.approx(4 / 9)
    assert feature_distance(teacher, torch.zeros_like(teacher)).isfinite()
    one_of_two = torch.stack((teacher[0], 3 * teacher[1]))
    assert feature_distance(one_of_two, teacher).item() == pytest.approx(2), "each picture by its own"


def at_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """As published: github.com/szagoruyko/attention-transfer, utils.py."""

    def at(x: Tensor) -> Tensor:
        return F.normalize(x.pow(2).mean(1).view(x.size(0), -1))

    return (at(student) - at(teacher)).pow(2).mean()


def test_attention_is_that_of_its_authors_times_the_pixels() -> None:
    student, teacher = maps(0, channels=3), maps(1, channels=7)
    assert attention_distance(student, teacher).item() == pytest.approx(12 * at_loss(student, teacher).item())
    assert attention_distance(5 * teacher, teacher).item() == pytest.approx(0, abs=1e-15)


def test_attention_of_disjoint_places_is_two() -> None:
    student, teacher = torch.zeros(1, 2, 1, 2), torch.zeros(1, 3, 1, 2)
    student[..., 0], teacher[..., 1] = 3.0, 1.0
    assert attention_distance(student, teacher).item() == pytest.approx(2)
    assert attention_distance(torch.zeros_like(student), teacher).item() == pytest.approx(1), "no map, no direction"


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"same size, got \[2, 5, 3, 4\] and \[2, 4, 3, 4\]"):
        feature_distance(maps(0), maps(1, channels=4))
    with pytest.raises(InvalidValueError, match=r"same size, got \[3, 4\] and \[4, 3\]"):
        attention_distance(maps(0), maps(1).transpose(2, 3))


@pytest.mark.parametrize("distance", [feature_distance, attention_distance])
def test_half_precision_is_computed_in_float32(distance: object) -> None:
    """Squares of 300 are beyond float16."""
    student, teacher = 300 * maps(0).half(), 300 * maps(1).half()
    value = distance(student, teacher)  # type: ignore[operator]
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(distance(student.double(), teacher.double()).item(), rel=1e-4)  # type: ignore[operator]
