"""Laws of the random walk (docs/laws.md, "Trajectory": |dx| = h, length L, collinear at a = 0, rotation, same seed, number of shakes)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.backends.oracle.random_walk import walk_draws
from blursynth.physics.trajectory import WalkForm, WalkParameters

EPS = np.finfo(np.float64).eps
BACKENDS = [pytest.param(cpu, id="cpu"), pytest.param(oracle, id="oracle")]

seeds = st.integers(0, 2**63 - 1)


@st.composite
def walks(draw: st.DrawFn, max_samples: int = 400, *, restless: bool = False) -> WalkParameters:
    return WalkParameters(
        length_px=draw(st.floats(0.5, 200.0)),  # type: ignore[arg-type]
        anxiety=draw(st.sampled_from([0.0, 0.001, 0.005, 0.05]) | st.floats(1e-3 if restless else 0.0, 0.1)),  # type: ignore[arg-type]
        centripetal=draw(st.floats(0.0, 0.7)),  # type: ignore[arg-type]
        big_shake=draw(st.floats(0.0, 0.2)),  # type: ignore[arg-type]
        gaussian=draw(st.floats(1.0 if restless else 0.0, 10.0)),  # type: ignore[arg-type]
        heading_rad=draw(st.floats(0.0, 2 * math.pi)),  # type: ignore[arg-type]
        samples=draw(st.integers(50, max_samples)),
        form=draw(st.sampled_from(list(WalkForm))),
    )


def many(batch: int, seed: int, **fixed: object) -> WalkParameters:
    rng = np.random.default_rng(seed)
    drawn: dict[str, object] = {
        "length_px": 60.0,
        "anxiety": rng.uniform(0, 0.1, batch),
        "centripetal": rng.uniform(0, 0.7, batch),
        "big_shake": rng.uniform(0, 0.2, batch),
        "gaussian": rng.uniform(0, 10, batch),
        "heading_rad": rng.uniform(0, 2 * np.pi, batch),
    }
    return WalkParameters(**(drawn | fixed))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
@given(walks(), seeds)
def test_every_step_has_the_same_length_and_the_path_the_wanted_one(backend, parameters, seed) -> None:
    path = backend.random_walk(parameters, [seed])[0]
    steps = np.hypot(*np.diff(path, axis=0).T)
    step = parameters.length_px[0] / (parameters.samples - 1)
    assert np.abs(steps - step).max() <= 2 * EPS * np.abs(path).max()
    assert abs(steps.sum() - parameters.length_px[0]) <= parameters.samples * EPS * parameters.length_px[0]
    assert (path[0] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@given(length=st.floats(0.5, 200.0), heading=st.floats(0.0, 2 * math.pi), seed=seeds)
def test_without_anxiety_the_path_is_straight(backend, length: float, heading: float, seed: int) -> None:
    path = backend.random_walk(WalkParameters(length, 0.0, 0.7, 0.2, 10.0, heading, samples=300), [seed])[0]
    along = np.array([math.cos(heading), math.sin(heading)])
    assert np.abs(path @ np.array([-along[1], along[0]])).max() <= 1e-12 * length
    assert path[-1] @ along == pytest.approx(length, rel=1e-12)


# Without noise a path that runs straight away from its start stands on its head: the pull makes every rounding error
# grow without bound. The law holds in exact arithmetic, but no computer can show it there, so here there is noise.
@given(walks(restless=True), seeds, st.floats(0.0, 2 * math.pi))
def test_turning_the_heading_and_every_draw_turns_the_path(parameters: WalkParameters, seed: int, by: float) -> None:
    turn = np.array([[math.cos(by), math.sin(by)], [-math.sin(by), math.cos(by)]])
    normals = walk_draws(seed, parameters.samples - 1)[2]
    turned = WalkParameters(
        parameters.length_px,
        parameters.anxiety,
        parameters.centripetal,
        parameters.big_shake,
        parameters.gaussian,
        parameters.heading_rad + by,
        parameters.samples,
        parameters.form,
    )
    expected = oracle.random_walk(parameters, seed, normals=normals) @ turn
    got = oracle.random_walk(turned, seed, normals=normals @ turn)
    assert np.abs(got - expected).max() <= 1e-10 * parameters.length_px[0]


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_same_seed_same_bits_in_any_batch(batch: int, seed: int) -> None:
    parameters = many(batch, seed, samples=130)
    own = np.random.default_rng(seed).integers(0, 2**63, batch, dtype=np.uint64)
    together = cpu.random_walk(parameters, own)
    assert together.tobytes() == cpu.random_walk(parameters, own).tobytes()
    b = batch - 1
    alone = WalkParameters(
        60.0,
        parameters.anxiety[b],
        parameters.centripetal[b],
        parameters.big_shake[b],
        parameters.gaussian[b],
        parameters.heading_rad[b],
        samples=130,
    )
    assert cpu.random_walk(alone, own[b]).tobytes() == together[b : b + 1].tobytes()


def test_another_seed_is_another_path() -> None:
    parameters = many(2, 0, anxiety=0.05, gaussian=5.0, heading_rad=np.ones(2), centripetal=0.2, big_shake=0.1)
    path = cpu.random_walk(parameters, [1, 2])
    assert np.abs(path[0] - path[1]).max() > 0.1


@pytest.mark.parametrize("form", list(WalkForm))
def test_cpu_is_the_reference(form: WalkForm) -> None:
    parameters = many(24, 5, samples=2000, form=form)
    own = np.random.default_rng(6).integers(0, 2**63, 24, dtype=np.uint64)
    difference = np.abs(cpu.random_walk(parameters, own) - oracle.random_walk(parameters, own))
    assert difference.max() <= 1e-11 * 60


@pytest.mark.parametrize("form", list(WalkForm))
def test_number_of_shakes_is_binomial(form: WalkForm) -> None:
    batch, samples = 500, 2000
    parameters = many(batch, 7, anxiety=0.1, big_shake=0.2, gaussian=0.0, centripetal=0.0, samples=samples, form=form)
    path = cpu.random_walk(parameters, np.arange(batch, dtype=np.uint64))
    step = np.diff(path, axis=1)
    # Without noise and pull the heading changes only by shakes, by pi +- 1/2 filtered through v + 2 v exp(i ...):
    # never by a little.
    cosine = (step[:, 1:] * step[:, :-1]).sum(axis=2) / (60.0 / (samples - 1)) ** 2
    shakes = np.count_nonzero(cosine < 0.5, axis=1)
    trials, p = batch * (samples - 2), 0.2 * 0.1
    assert abs(shakes.sum() - trials * p) <= 5 * math.sqrt(trials * p * (1 - p))
    # Independent from path to path: the variance of a binomial, within 5 sigma of a variance's own scatter.
    variance = (samples - 2) * p * (1 - p)
    assert abs(shakes.var() - variance) <= 5 * variance * math.sqrt((2 + 1 / variance) / batch)


def test_the_draws_have_the_right_law() -> None:
    test, angle, normals = walk_draws(np.arange(50, dtype=np.uint64), 20_000)
    count = test.size
    for uniform in (test, angle):
        assert abs(uniform.mean() - 0.5) <= 5 * math.sqrt(1 / 12 / count)
        assert abs(uniform.var() - 1 / 12) <= 5 * math.sqrt((2 - 1.2) / count) / 12
    flat = normals.reshape(-1)
    assert abs(flat.mean()) <= 5 / math.sqrt(flat.size)
    assert abs(flat.var() - 1) <= 5 * math.sqrt(2 / flat.size)
    assert abs((flat**4).mean() - 3) <= 5 * math.sqrt(96 / flat.size)
    assert abs((normals[..., 0] * normals[..., 1]).mean()) <= 5 / math.sqrt(count)
    assert abs((normals[:, 1:, 0] * normals[:, :-1, 0]).mean()) <= 5 / math.sqrt(count)


def extent(parameters: WalkParameters, seed: int) -> NDArray[np.float64]:
    """Root mean square distance of each path from its mean, per length."""
    path = cpu.random_walk(parameters, np.arange(len(parameters), dtype=np.uint64) + np.uint64(seed))
    away = path - path.mean(axis=1, keepdims=True)
    return np.sqrt((away**2).sum(axis=2).mean(axis=1)) / parameters.length_px


@pytest.mark.parametrize(("samples", "length"), [(500, 60.0), (8000, 60.0), (2000, 20.0), (2000, 120.0), (1000, 30.0)])
def test_the_invariant_form_does_not_depend_on_samples_or_length(samples: int, length: float) -> None:
    batch = 1000
    common = {"anxiety": 0.005, "centripetal": 0.5, "big_shake": 0.1, "gaussian": 5.0}
    base = extent(many(batch, 1, samples=2000, **common), seed=10**6)
    other = extent(many(batch, 2, samples=samples, length_px=length, **common), seed=10**7 * samples)
    deviation = math.sqrt(base.var() / batch + other.var() / batch)
    assert abs(base.mean() - other.mean()) <= 5 * deviation


def test_the_published_form_does_depend_on_length() -> None:
    common = {"anxiety": 0.02, "centripetal": 0.7, "big_shake": 0.0, "gaussian": 3.0, "form": WalkForm.PAPER}
    short = extent(many(400, 1, length_px=20.0, **common), seed=1)
    long = extent(many(400, 2, length_px=120.0, **common), seed=10**6)
    assert short.mean() > 1.3 * long.mean()


def test_both_forms_are_one_at_the_published_numbers() -> None:
    common = {"samples": 2000, "length_px": 60.0}
    own = np.arange(8, dtype=np.uint64)
    invariant = cpu.random_walk(many(8, 3, **common), own)
    assert invariant.tobytes() == cpu.random_walk(many(8, 3, **common, form=WalkForm.PAPER), own).tobytes()
