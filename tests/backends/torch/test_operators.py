"""The operators on tensors: derivatives by more than the picture, kept whole by a compiler, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import (
    CASES,
    CORNERS,
    SEEDS,
    Case,
    camera,
    development,
    point_spread_field,
    point_spreads,
    tables,
    warps,
)

from blursynth.backends import cpu, for_array
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.point_spread import disk
from blursynth.physics.radiometry import SensorParameters

torch = pytest.importorskip("torch", reason="operators on tensors need torch")

SAME_SIZE = [b for b in Border if b != Border.VALID]


@pytest.fixture(scope="module")
def ops() -> Any:
    return for_array(torch.zeros(1))


def picture(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape)).requires_grad_()


def test_backend_by_the_type_of_the_array(ops: Any) -> None:
    assert for_array(torch.nn.Parameter(torch.zeros(1))) is ops
    assert for_array(np.zeros(1)) is cpu
    with pytest.raises(InvalidValueError, match=r"no backend for builtins\.list"):
        for_array([1.0])


@pytest.mark.parametrize("border", list(Border))
@pytest.mark.parametrize("name", ["convolve", "convolve_adjoint"])
def test_derivative_by_the_taps(ops: Any, name: str, border: Border) -> None:
    rng = np.random.default_rng(1)
    image, operator = picture(rng, 2, 2, 6, 5), getattr(ops, name)
    for psf in (point_spreads(rng, 2), point_spreads(rng, 1)):
        weight = torch.from_numpy(psf.weight).requires_grad_()

        def blur(x: torch.Tensor, w: torch.Tensor, psf: Any = psf) -> torch.Tensor:
            return operator(x, psf, border=border, weight=w)

        assert torch.autograd.gradcheck(blur, (image, weight))
    if border in (Border.REFLECT, Border.VALID):
        small = image.detach()[:, :1, :5, :4].clone().requires_grad_()
        assert torch.autograd.gradgradcheck(blur, (small, weight))


def test_a_nan_spreads_as_far_as_the_taps_reach(ops: Any) -> None:
    """With taps so many that the CPU takes Fourier transforms, and a row above and below."""
    image = torch.zeros(1, 1, 200, 300)
    image[0, 0, 60, 90] = np.nan
    for name in ("convolve", "convolve_adjoint"):
        seen = getattr(ops, name)(image, disk(16.0), border="reflect").isnan()[0, 0].nonzero().numpy()
        assert (seen.min(axis=0) >= (60 - 17, 90 - 16)).all()
        assert (seen.max(axis=0) <= (60 + 17, 90 + 16)).all()
        assert len(seen) >= 33 * 33 * 3 / 4


@pytest.mark.parametrize("border", SAME_SIZE)
@pytest.mark.parametrize("name", ["convolve_varying", "convolve_varying_adjoint"])
def test_derivatives_by_level_and_taps(ops: Any, name: str, border: Border) -> None:
    rng = np.random.default_rng(2)
    operator = getattr(ops, name)
    for batch in (1, 2):  # one field for all, or for each
        field = point_spread_field(rng, batch)
        image = picture(rng, 2, 2, 5, 6)
        level = torch.from_numpy(rng.uniform(-0.3, 2.3, (2, 5, 6))).requires_grad_()
        weight = torch.from_numpy(field.psf.weight).requires_grad_()

        def blur(x: torch.Tensor, at: torch.Tensor, w: torch.Tensor, field: Any = field) -> torch.Tensor:
            return operator(x, field, at, border=border, weight=w)

        assert torch.autograd.gradcheck(blur, (image, level, weight), fast_mode=True)
    if border == Border.REFLECT:
        assert torch.autograd.gradgradcheck(blur, (image, level, weight), fast_mode=True)


def test_depth_learns_through_the_level(ops: Any) -> None:
    """From a blurred picture alone, the depth comes back where the picture has texture."""
    rng = np.random.default_rng(7)
    from blursynth.physics import point_spread
    from blursynth.physics.point_spread import PointSpreads
    from blursynth.physics.point_spread_field import PointSpreadField

    field = PointSpreadField(PointSpreads.concatenate([point_spread.gaussian(s) for s in (0.3, 1.0, 2.0)]), levels=3)
    image = torch.from_numpy(rng.random((1, 3, 16, 16)))
    true = torch.full((1, 16, 16), 1.4, dtype=torch.float64)
    seen = ops.convolve_varying(image, field, true, border="reflect")
    inverse_depth = torch.full((1, 16, 16), 0.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([inverse_depth], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        ((ops.convolve_varying(image, field, inverse_depth * 2, border="reflect") - seen) ** 2).sum().backward()
        optimizer.step()
    assert (inverse_depth.detach() * 2 - 1.4).abs().median() < 0.02


@pytest.mark.parametrize("border", SAME_SIZE)
@pytest.mark.parametrize("name", ["warp_mean", "warp_mean_adjoint"])
def test_derivative_by_depth(ops: Any, name: str, border: Border) -> None:
    rng = np.random.default_rng(3)
    for batch, height in ((1, None), (2, 6)):
        motion = warps(rng, batch, height=height)
        image = picture(rng, 2, 2, 6, 5)
        depth = torch.from_numpy(rng.uniform(0.2, 1.5, (2, 6, 5))).requires_grad_()
        blur = lambda x, q, motion=motion: getattr(ops, name)(x, motion, q, border=border)  # noqa: E731
        assert torch.autograd.gradcheck(blur, (image, depth), fast_mode=True)


def test_rounding_is_passed_straight_through(ops: Any) -> None:
    light = torch.from_numpy(np.random.default_rng(5).uniform(-0.3, 1.3, (2, 1, 4, 4))).requires_grad_()
    for curve in (ops.srgb_decode, ops.srgb_encode):
        assert torch.autograd.gradgradcheck(curve, (light,))
    encode, _ = tables()
    for rounded, smooth in (
        (ops.srgb_encode(light, levels=[255, 1023]), ops.srgb_encode(light)),
        (ops.response_encode(light, encode, levels=[255, 15]), ops.response_encode(light, encode)),
    ):
        (one,), (other,) = (torch.autograd.grad(codes.sum(), light) for codes in (rounded, smooth))
        assert torch.equal(one, other)


def test_what_is_not_a_number_stays_so(ops: Any) -> None:
    broken = torch.tensor([[[[np.nan, 0.5]]]])
    encode, decode = tables()
    assert ops.response_encode(broken, encode[:1]).isnan().flatten().tolist() == [True, False]
    assert ops.response_decode(broken, decode[:1]).isnan().flatten().tolist() == [True, False]


def test_slopes_of_a_response(ops: Any) -> None:
    rng = np.random.default_rng(12)
    image = torch.from_numpy(rng.uniform(-0.2, 1.2, (2, 1, 5, 6))).requires_grad_()
    encode, decode = tables()
    assert torch.autograd.gradcheck(lambda x: ops.response_decode(x, decode), (image,), eps=1e-8, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: ops.response_encode(x, encode), (image,), eps=1e-8, atol=1e-6)
    black = torch.zeros(2, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ops.response_encode(black, encode).sum(), black)
    assert torch.isfinite(slope).all()
    assert float(slope[1]) == pytest.approx(1.0, rel=1e-6)  # the straight line, on the chord of its first cell


@pytest.mark.parametrize("demosaic", ["bilinear", "malvar", None])
def test_what_is_clipped_in_development_has_no_slope(ops: Any, demosaic: str | None) -> None:
    raw = torch.from_numpy(np.random.default_rng(14).uniform(0, 1100, (4, 1 if demosaic else 3, 4, 5))).requires_grad_()
    (slope,) = torch.autograd.grad(ops.develop(raw, development(demosaic), origin_px=CORNERS).sum(), raw)
    assert 0 < int((slope == 0).sum()) < slope.numel()


def test_interpolation_along_edges_has_no_derivative(ops: Any) -> None:
    raw = torch.full((4, 1, 8, 8), 300.0, requires_grad=True)
    with pytest.raises(InvalidValueError, match="'edge_aware' has no derivative"):
        ops.develop(raw, development("edge_aware"), origin_px=CORNERS).sum().backward()


@pytest.mark.parametrize("mosaic", [0, [2, 3]])
def test_derivative_of_the_sensor_is_that_of_its_mean(ops: Any, mosaic: Any) -> None:
    """Against differences of the same sensor, its fixed pattern included, without what differs between exposures."""
    rng = np.random.default_rng(16)
    light = torch.from_numpy(rng.uniform(-0.3, 1.3, (2, 3, 6, 7))).requires_grad_()
    noisy = ops.sensor(light, camera(mosaic=mosaic), SEEDS, origin_px=CORNERS[2:])
    back = torch.from_numpy(rng.normal(size=tuple(noisy.shape)))
    (slope,) = torch.autograd.grad(noisy, light, back)
    quiet = camera(
        mosaic=mosaic, read_noise_e=0.0, row_noise_e=0.0, column_noise_e=0.0, shot_noise=False, rounding=False
    )
    step = 1e-6
    for b, c, row, column in np.ndindex(*light.shape):
        change = torch.zeros_like(light)
        change[b, c, row, column] = step
        more, less = (
            cpu.sensor((light.detach() + sign * change).numpy(), quiet, SEEDS, origin_px=CORNERS[2:])
            for sign in (1.0, -1.0)
        )
        expected = float((torch.from_numpy(more - less) * back).sum()) / (2 * step)
        assert abs(float(slope[b, c, row, column]) - expected) <= 1e-5 * 2000, (b, c, row, column)
    assert 0 < int((slope == 0).sum()) < slope.numel()  # some are clipped


def test_the_slope_is_that_of_the_mean_of_many_exposures(ops: Any) -> None:
    """A finite change of the light moves the mean of noisy numbers by what the derivative says."""
    sensor = SensorParameters(800.0, 2000.0, read_noise_e=3.0, gain_dn_per_e=0.7, black_level_dn=64.0, bit_depth=12)
    light = torch.full((1, 1, 200, 200), 0.4, dtype=torch.float64, requires_grad=True)
    low = ops.sensor(light, sensor, SEEDS[:1], origin_px=CORNERS[:1])
    high = ops.sensor(light.detach() + 0.1, sensor, SEEDS[1:], origin_px=CORNERS[:1])
    (slope,) = torch.autograd.grad(low.mean(), light)
    deviation = 0.7 * np.sqrt(2 * (360 + 9) / low.numel())
    assert abs(float(high.mean() - low.detach().mean()) - 0.1 * float(slope.sum())) <= 5 * deviation


def test_what_noise_lets_through(ops: Any) -> None:
    light = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    noisy = ops.gaussian_noise(light, np.array([0.1, 0.2]), SEEDS, origin_px=np.zeros((2, 2), int))
    (one,) = torch.autograd.grad(noisy.sum(), light)
    assert torch.equal(one, torch.ones_like(light))
    with pytest.raises(InvalidValueError, match="poisson has no derivative"):
        ops.poisson(light, SEEDS, origin_px=np.zeros((2, 2), int)).sum().backward()


def call(ops: Any, name: str) -> tuple[Case, Any, Any]:
    """The last case of an operation, which is the most general one, its picture, and the operation as a function of it."""
    from blursynth.backends.torch.operator import ON_DEVICE

    if name not in ON_DEVICE:
        pytest.skip("no operator of torch")
    case = CASES[name][-1]
    planes = {n: torch.from_numpy(plane) for n, plane in case.planes.items()}
    image = torch.from_numpy(case.picture.copy()).requires_grad_()  # type: ignore[union-attr]
    return case, image, lambda x: getattr(ops, name)(x, **case.given, **planes)


PICTURES = [name for name, cases in CASES.items() if cases[0].picture is not None and name != "poisson"]
"""Operations that may have a derivative. Which of them are operators of torch is known where torch's files import."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
@pytest.mark.parametrize("name", PICTURES)
def test_compilers_keep_operators_whole(name: str, ops: Any) -> None:
    _, image, operator = call(ops, name)
    graphs: list[Any] = []
    torch.compiler.reset()  # it counts how often a line of code is compiled anew

    def see(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def work(x: torch.Tensor) -> torch.Tensor:
        return (operator(x * 2) + 1).sin()

    expected = work(image)
    for backend in (see, "aot_eager"):
        got = torch.compile(work, fullgraph=True, backend=backend)(image)
        assert torch.equal(got, expected)
        (a,), (b,) = (torch.autograd.grad(y.sum(), image, retain_graph=True) for y in (got, expected))
        assert torch.equal(a, b)
    called = [str(node.target) for node in graphs[0].graph.nodes if node.op == "call_function"]
    assert sum(name in target for target in called) == 1


@pytest.mark.parametrize("name", PICTURES)
def test_torch_finds_nothing_wrong_with_operators(name: str, ops: Any) -> None:
    """``opcheck``: schema, derivative, shapes without data, and tracing with sizes that are not fixed."""
    _, image, operator = call(ops, name)
    seen: list[Any] = []

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "blursynth" in str(function):
                seen.append((function, args))
            return function(*args, **(kwargs or {}))

    with Recorder():
        operator(image)
    ((function, args),) = seen
    args = (args[0].detach().clone().requires_grad_(), *args[1:])
    torch.library.opcheck(function, args)


def test_poisson_is_known_to_torch(ops: Any) -> None:
    keys = torch.tensor([[5, 0, 3], [9, 2, 2**20]])
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.blursynth.poisson, (torch.rand(2, 1, 3, 4) * 20, keys), test_utils=checks)


def test_wrong_arguments_are_told(ops: Any) -> None:
    rng = np.random.default_rng(10)
    psf, field, motion = point_spreads(rng, 3), point_spread_field(rng, 1), warps(rng, 1)
    image = torch.zeros(2, 1, 5, 5)
    for call, message in (
        (lambda: ops.convolve(image, psf, border="reflect"), "one point spread for each of the 2 pictures"),
        (lambda: ops.convolve(image[:1], psf[0], border="mirror"), "border must be one of"),
        (lambda: ops.convolve(image[0], psf[0], border="reflect"), r"\[B, C, H, W\]"),
        (lambda: ops.convolve(image, psf[0], border="reflect", weight=torch.ones(1000)), "weight must hold the share"),
        (lambda: ops.convolve_varying(image, field, border="reflect"), "needs the level of every pixel"),
        (lambda: ops.convolve_varying(image, field, torch.zeros(2, 4, 5), border="reflect"), "level must be"),
        (lambda: ops.convolve_varying(image, field, image[:, 0], border="valid"), "border='valid'"),
        (lambda: ops.warp_mean(image, motion, border="reflect"), "needs depth"),
        (lambda: ops.srgb_encode(image, levels=[255]), "levels must be"),
        (lambda: ops.response_encode(image, np.zeros((2, 9)), levels=[255]), "levels must be"),
        (lambda: ops.response_decode(image, np.zeros((3, 9))), r"must be \[1, NODES\] or \[2, NODES\]"),
        (lambda: ops.poisson(image, SEEDS[:1], origin_px=CORNERS[:1]), "seed must be one integer"),
        (lambda: ops.poisson(image, np.array([1, -1]), origin_px=CORNERS[:1]), "seed must be one integer"),
        (lambda: ops.gaussian_noise(image, 0.1, SEEDS, origin_px=CORNERS[:3]), "origin_px must be"),
        (lambda: ops.poisson(image - 1, SEEDS, origin_px=CORNERS[:1]), "mean of a Poisson distribution"),
        (lambda: ops.sensor(image, camera(), SEEDS, origin_px=CORNERS[:2]), "3 channels"),
        (lambda: ops.sensor(image[:1], camera(), SEEDS[:1], origin_px=CORNERS[:1]), "2 sensors for 1 pictures"),
        (lambda: ops.develop(image, development("malvar"), origin_px=CORNERS), "4 developments for 2 pictures"),
        (
            lambda: ops.develop(image.repeat(2, 3, 1, 1), development("malvar"), origin_px=CORNERS),
            "have 1 channel",
        ),
        (
            lambda: ops.develop(image.repeat(2, 1, 1, 1), development(None), origin_px=CORNERS),
            "pictures of 3 channels",
        ),
    ):
        with pytest.raises(InvalidValueError, match=message):
            call()


def test_numbers_of_the_filter_that_do_not_fit_are_refused(ops: Any) -> None:
    strength, radius = CASES["self_guided"][0].given.values()
    for one, other in ((strength[:2], radius), (-strength, radius), (strength, radius - 1)):
        with pytest.raises(InvalidValueError, match=r"(strength|radius_px) must be one"):
            ops.self_guided(torch.zeros(3, 2, 4, 5), one, other)
