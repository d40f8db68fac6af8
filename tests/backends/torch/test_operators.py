"""The operators on tensors of the CPU: the numbers of the kernels on arrays, exact derivatives, kept whole by a compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from blursynth.backends import cpu, for_array
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.development import DevelopParameters, camera_from_srgb
from blursynth.physics.mosaic import DEMOSAICS
from blursynth.physics.point_spread import disk
from blursynth.physics.radiometry import SensorParameters
from blursynth.physics.response import decode_table, encode_table

torch = pytest.importorskip("torch", reason="operators on tensors need torch")

SAME_SIZE = [b for b in Border if b != Border.VALID]
Operator = Callable[..., Any]


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
    assert set(cpu.__all__) == set(ops.__all__)


@pytest.mark.parametrize("border", list(Border))
@pytest.mark.parametrize("name", ["convolve", "convolve_adjoint"])
def test_convolve(ops: Any, make_point_spreads: Operator, name: str, border: Border) -> None:
    rng = np.random.default_rng(1)
    psf = make_point_spreads(rng, 2)
    image = picture(rng, 2, 2, 6, 5)
    operator = getattr(ops, name)
    expected = getattr(cpu, name)(image.detach().numpy(), psf, border=border)
    assert np.array_equal(operator(image, psf, border=border).detach().numpy(), expected)
    weight = torch.from_numpy(psf.weight).requires_grad_()

    def blur(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return operator(x, psf, border=border, weight=w)

    assert torch.autograd.gradcheck(blur, (image, weight))
    if border in (Border.REFLECT, Border.VALID):
        small = image.detach()[:, :1, :5, :4].clone().requires_grad_()
        assert torch.autograd.gradgradcheck(blur, (small, weight))
    shared = make_point_spreads(rng, 1)
    weight = torch.from_numpy(shared.weight).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: operator(image.detach(), shared, border=border, weight=w), (weight,))


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
def test_convolve_varying(ops: Any, make_field: Operator, name: str, border: Border) -> None:
    rng = np.random.default_rng(2)
    operator = getattr(ops, name)
    for batch in (1, 2):  # one field for all, or for each
        field = make_field(rng, batch)
        image = picture(rng, 2, 2, 5, 6)
        level = torch.from_numpy(rng.uniform(-0.3, 2.3, (2, 5, 6))).requires_grad_()
        expected = getattr(cpu, name)(image.detach().numpy(), field, level.detach().numpy(), border=border)
        assert np.array_equal(operator(image, field, level, border=border).detach().numpy(), expected)
        weight = torch.from_numpy(field.psf.weight).requires_grad_()

        def blur(x: torch.Tensor, at: torch.Tensor, w: torch.Tensor, field: Any = field) -> torch.Tensor:
            return operator(x, field, at, border=border, weight=w)

        assert torch.autograd.gradcheck(blur, (image, level, weight), fast_mode=True)
    if border == Border.REFLECT:
        assert torch.autograd.gradgradcheck(blur, (image, level, weight), fast_mode=True)
        flat = make_field(rng, 1, levels=1)
        assert torch.autograd.gradcheck(lambda x: operator(x, flat, border=border), (image,), fast_mode=True)


def test_depth_learns_through_the_level(ops: Any, make_field: Operator) -> None:
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
def test_warp_mean(ops: Any, make_warps: Operator, name: str, border: Border) -> None:
    rng = np.random.default_rng(3)
    operator = getattr(ops, name)
    for batch, height in ((1, None), (2, 6)):
        warps = make_warps(rng, batch, height=height)
        image = picture(rng, 2, 2, 6, 5)
        depth = torch.from_numpy(rng.uniform(0.2, 1.5, (2, 6, 5))).requires_grad_()
        expected = getattr(cpu, name)(image.detach().numpy(), warps, depth.detach().numpy(), border=border)
        assert np.array_equal(operator(image, warps, depth, border=border).detach().numpy(), expected)
        blur = lambda x, q, warps=warps: operator(x, warps, q, border=border)  # noqa: E731
        assert torch.autograd.gradcheck(blur, (image, depth), fast_mode=True)
    turns = make_warps(rng, 1, moves=False)
    assert torch.autograd.gradcheck(lambda x: operator(x, turns, border=border), (image,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: operator(x, turns, border=border), (image,), fast_mode=True)


@pytest.mark.parametrize("border", SAME_SIZE)
@pytest.mark.parametrize("name", ["composite", "composite_adjoint"])
def test_composite(ops: Any, make_scene: Operator, name: str, border: Border) -> None:
    rng = np.random.default_rng(4)
    operator = getattr(ops, name)
    for new in (False, True):
        scene = make_scene(rng, (2, 6, 7), slices=4, mixed=new, sloped=new, connected=new)
        image = picture(rng, 2, 2, 6, 7)
        expected = getattr(cpu, name)(image.detach().numpy(), scene, border=border)
        assert np.array_equal(operator(image, scene, border=border).detach().numpy(), expected)
        blur = lambda x, scene=scene: operator(x, scene, border=border)  # noqa: E731
        assert torch.autograd.gradcheck(blur, (image,), fast_mode=True)
        assert torch.autograd.gradgradcheck(blur, (image,), fast_mode=True)


def test_transfer(ops: Any) -> None:
    rng = np.random.default_rng(5)
    light = torch.from_numpy(rng.uniform(-0.3, 1.3, (2, 1, 4, 4))).requires_grad_()
    for curve in (ops.srgb_decode, ops.srgb_encode):
        assert torch.autograd.gradcheck(curve, (light,))
        assert torch.autograd.gradgradcheck(curve, (light,))
    codes = ops.srgb_encode(light, levels=[255, 1023])
    (through,) = torch.autograd.grad(codes.sum(), light)
    (smooth,) = torch.autograd.grad(ops.srgb_encode(light).sum(), light)
    assert torch.equal(through, smooth)  # rounding is passed straight through


LIGHT = np.linspace(0.0, 1.0, 60) ** 2


def tables() -> tuple[np.ndarray, np.ndarray]:
    """A gamma of 2.2 and a straight line, and the same of values."""
    curves = [LIGHT ** (1 / 2.2), LIGHT]
    return np.stack([encode_table(LIGHT, v) for v in curves]), np.stack([decode_table(LIGHT, v) for v in curves])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_response(ops: Any, dtype: type) -> None:
    rng = np.random.default_rng(11)
    values = rng.uniform(-0.2, 1.2, (2, 2, 5, 6)).astype(dtype)
    values[0, 0, 0, :4] = (0.0, 1.0, np.nan, 1e-16)
    image = torch.from_numpy(values)
    encode, decode = tables()
    for wanted in (None, [255, None]):
        expected = cpu.response_encode(values, encode, levels=wanted)
        assert np.array_equal(ops.response_encode(image, encode, levels=wanted).numpy(), expected, equal_nan=True)
    for table in (decode, decode[:1]):
        expected = cpu.response_decode(values, table)
        assert np.array_equal(ops.response_decode(image, table).numpy(), expected, equal_nan=True)


def test_slopes_of_a_response(ops: Any) -> None:
    rng = np.random.default_rng(12)
    image = torch.from_numpy(rng.uniform(-0.2, 1.2, (2, 1, 5, 6))).requires_grad_()
    encode, decode = tables()
    assert torch.autograd.gradcheck(lambda x: ops.response_decode(x, decode), (image,), eps=1e-8, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: ops.response_encode(x, encode), (image,), eps=1e-8, atol=1e-6)
    (through,) = torch.autograd.grad(ops.response_encode(image, encode, levels=[255, 15]).sum(), image)
    (smooth,) = torch.autograd.grad(ops.response_encode(image, encode).sum(), image)
    assert torch.equal(through, smooth)
    black = torch.zeros(2, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ops.response_encode(black, encode).sum(), black)
    assert torch.isfinite(slope).all()
    assert float(slope[1]) == pytest.approx(1.0, rel=1e-6)  # the straight line, on the chord of its first cell


def development(demosaic: str | None, batch: int = 4) -> DevelopParameters:
    """All four patterns, with colors and a clip that some pixels reach."""
    mosaicked = demosaic is not None
    return DevelopParameters(
        black_dn=[64.0, 0.0, 64.0, 32.0][:batch],
        white_dn=[964.0, 800.0, 900.0, 1000.0][:batch],
        mosaic=[1, 2, 3, 4][:batch] if mosaicked else 0,
        demosaic=DEMOSAICS.index(demosaic) if demosaic is not None else 0,
        white_balance=np.array([2.0, 1.0, 1.6]),
        color_matrix=np.array([[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]]),
        gain=[1.0, 2.0, 0.5, 1.0][:batch],
        clip=0.9,
    )


ORIGINS = np.array([[0, 0], [1, 0], [0, 1], [3, 5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("demosaic", [*DEMOSAICS, None])
def test_develop(ops: Any, demosaic: str | None, dtype: type) -> None:
    rng = np.random.default_rng(13)
    raw = rng.uniform(0, 1100, (4, 3 if demosaic is None else 1, 6, 7)).astype(dtype)
    expected = cpu.develop(raw, development(demosaic), origin_px=ORIGINS)
    got = ops.develop(torch.from_numpy(raw), development(demosaic), origin_px=ORIGINS)
    assert np.array_equal(got.numpy(), expected)
    gray = DevelopParameters([64.0], [964.0])
    expected = cpu.develop(raw, gray, origin_px=ORIGINS)
    assert np.array_equal(ops.develop(torch.from_numpy(raw), gray, origin_px=ORIGINS).numpy(), expected)


@pytest.mark.parametrize("demosaic", ["bilinear", "malvar", None])
def test_derivative_of_develop(ops: Any, demosaic: str | None) -> None:
    rng = np.random.default_rng(14)
    raw = torch.from_numpy(rng.uniform(0, 1100, (4, 3 if demosaic is None else 1, 4, 5))).requires_grad_()
    work = lambda x: ops.develop(x, development(demosaic), origin_px=ORIGINS)  # noqa: E731
    assert torch.autograd.gradcheck(work, (raw,), eps=1e-3, atol=1e-7)
    (slope,) = torch.autograd.grad(work(raw).sum(), raw)
    assert (slope == 0).any()  # what is clipped


def test_interpolation_along_edges_has_no_derivative(ops: Any) -> None:
    raw = torch.full((4, 1, 8, 8), 300.0, requires_grad=True)
    with pytest.raises(InvalidValueError, match="'edge_aware' has no derivative"):
        ops.develop(raw, development("edge_aware"), origin_px=ORIGINS).sum().backward()


def camera(**others: Any) -> SensorParameters:
    """Two sensors with all that there is, a mosaic apart."""
    matrix = [[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]]
    values: dict[str, Any] = {
        "white_level_e": [1000.0, 400.0], "full_well_e": [900.0, 500.0], "read_noise_e": [3.0, 2.0],
        "row_noise_e": 1.0, "column_noise_e": 0.5, "read_noise_shape": [np.nan, -0.1], "gain_dn_per_e": [0.9, 2.0],
        "black_level_dn": [64.0, 20.0], "bit_depth": [12, 10], "dark_e": [0.0, 5.0], "prnu": [0.01, 0.05],
        "dsnu_e": [0.0, 1.0], "sensor_seed": np.array([3, 4], np.uint64),
        "from_light": camera_from_srgb([2.0, 1.0, 1.6], matrix), "offset_dn": [[0.5, 0.0, 0.3, -0.2]] * 2,
    }  # fmt: skip
    return SensorParameters(**{**values, **others})


SEEDS = np.array([5, 2**62 + 9], np.uint64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mosaic", [0, [1, 4]])
def test_sensor(ops: Any, mosaic: Any, dtype: type) -> None:
    light = np.random.default_rng(15).uniform(-0.1, 1.3, (2, 3, 6, 7)).astype(dtype)
    expected = cpu.sensor(light, camera(mosaic=mosaic), SEEDS, origin_px=ORIGINS[2:])
    got = ops.sensor(torch.from_numpy(light), camera(mosaic=mosaic), SEEDS, origin_px=ORIGINS[2:])
    assert np.array_equal(got.numpy(), expected)
    plain = SensorParameters(1000.0, 2000.0, read_noise_e=2.0)
    expected = cpu.sensor(light, plain, SEEDS, origin_px=ORIGINS[:1])
    assert np.array_equal(ops.sensor(torch.from_numpy(light), plain, SEEDS, origin_px=ORIGINS[:1]).numpy(), expected)


@pytest.mark.parametrize("mosaic", [0, [2, 3]])
def test_derivative_of_the_sensor_is_that_of_its_mean(ops: Any, mosaic: Any) -> None:
    """Against differences of the same sensor, its fixed pattern included, without what differs between exposures."""
    rng = np.random.default_rng(16)
    light = torch.from_numpy(rng.uniform(-0.3, 1.3, (2, 3, 6, 7))).requires_grad_()
    noisy = ops.sensor(light, camera(mosaic=mosaic), SEEDS, origin_px=ORIGINS[2:])
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
            cpu.sensor((light.detach() + sign * change).numpy(), quiet, SEEDS, origin_px=ORIGINS[2:])
            for sign in (1.0, -1.0)
        )
        expected = float((torch.from_numpy(more - less) * back).sum()) / (2 * step)
        assert abs(float(slope[b, c, row, column]) - expected) <= 1e-5 * 2000, (b, c, row, column)
    assert 0 < int((slope == 0).sum()) < slope.numel()  # some are clipped


def test_the_slope_is_that_of_the_mean_of_many_exposures(ops: Any) -> None:
    """A finite change of the light moves the mean of noisy numbers by what the derivative says."""
    sensor = SensorParameters(800.0, 2000.0, read_noise_e=3.0, gain_dn_per_e=0.7, black_level_dn=64.0, bit_depth=12)
    light = torch.full((1, 1, 200, 200), 0.4, dtype=torch.float64, requires_grad=True)
    low = ops.sensor(light, sensor, SEEDS[:1], origin_px=ORIGINS[:1])
    high = ops.sensor(light.detach() + 0.1, sensor, SEEDS[1:], origin_px=ORIGINS[:1])
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


def _calls(
    ops: Any, make_point_spreads: Operator, make_field: Operator, make_warps: Operator, make_scene: Operator
) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    rng = np.random.default_rng(6)
    psf, field, warps, scene = (
        make_point_spreads(rng, 2),
        make_field(rng, 2),
        make_warps(rng, 1),
        make_scene(rng, (2, 6, 7)),
    )
    surfaces = make_scene(rng, (2, 6, 7), slices=4, mixed=True, sloped=True, connected=True)
    level = torch.from_numpy(rng.uniform(0, 2, (2, 6, 7)))
    sensor, encode, decode, raw = camera(mosaic=[1, 4]), *tables(), development("malvar", 2)
    return {
        "convolve": lambda x: ops.convolve(x, psf, border="reflect"),
        "convolve_adjoint": lambda x: ops.convolve_adjoint(x, psf, border="circular"),
        "convolve_varying": lambda x: ops.convolve_varying(x, field, level, border="reflect"),
        "convolve_varying_adjoint": lambda x: ops.convolve_varying_adjoint(x, field, level, border="replicate"),
        "warp_mean": lambda x: ops.warp_mean(x, warps, level, border="reflect"),
        "warp_mean_adjoint": lambda x: ops.warp_mean_adjoint(x, warps, level, border="constant"),
        "composite": lambda x: ops.composite(x, surfaces, border="reflect"),
        "composite_adjoint": lambda x: ops.composite_adjoint(x, scene, border="reflect"),
        "srgb_decode": ops.srgb_decode,
        "srgb_encode": lambda x: ops.srgb_encode(x, levels=[255, None]),
        "develop": lambda x: ops.develop(x[:, :1], raw, origin_px=ORIGINS[:2]),
        "response_decode": lambda x: ops.response_decode(x, decode),
        "response_encode": lambda x: ops.response_encode(x, encode, levels=[255, None]),
        "gaussian_noise": lambda x: ops.gaussian_noise(x, np.array([0.1, 0.2]), SEEDS, origin_px=ORIGINS[:1]),
        "sensor": lambda x: ops.sensor(x.repeat(1, 2, 1, 1)[:, :3], sensor, SEEDS, origin_px=ORIGINS[:2]),
    }


NAMES = [
    *("convolve", "convolve_adjoint", "convolve_varying", "convolve_varying_adjoint", "warp_mean", "warp_mean_adjoint"),
    *("composite", "composite_adjoint", "srgb_decode", "srgb_encode", "develop", "sensor", "gaussian_noise"),
    *("response_decode", "response_encode"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
@pytest.mark.parametrize("name", NAMES)
def test_compilers_keep_operators_whole(
    name: str, ops: Any, make_point_spreads: Any, make_field: Any, make_warps: Any, make_scene: Any
) -> None:
    operator = _calls(ops, make_point_spreads, make_field, make_warps, make_scene)[name]
    image = picture(np.random.default_rng(8), 2, 2, 6, 7)
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


@pytest.mark.parametrize("name", NAMES)
def test_torch_finds_nothing_wrong_with_operators(
    name: str,
    ops: Any,
    make_point_spreads: Any,
    make_field: Any,
    make_warps: Any,
    make_scene: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``opcheck``: schema, derivative, shapes without data, and tracing with sizes that are not fixed."""
    operator = _calls(ops, make_point_spreads, make_field, make_warps, make_scene)[name]
    seen: list[Any] = []

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "blursynth" in str(function):
                seen.append((function, args))
            return function(*args, **(kwargs or {}))

    image = picture(np.random.default_rng(9), 2, 2, 6, 7)
    with Recorder():
        operator(image)
    ((function, args),) = seen
    args = (args[0].detach().clone().requires_grad_(), *args[1:])
    torch.library.opcheck(function, args)


def test_poisson_is_known_to_torch(ops: Any) -> None:
    keys = torch.tensor([[5, 0, 3], [9, 2, 2**20]])
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.blursynth.poisson, (torch.rand(2, 1, 3, 4) * 20, keys), test_utils=checks)


def test_wrong_arguments_are_told(ops: Any, make_point_spreads: Any, make_field: Any, make_warps: Any) -> None:
    rng = np.random.default_rng(10)
    psf, field, warps = make_point_spreads(rng, 3), make_field(rng, 1), make_warps(rng, 1)
    image = torch.zeros(2, 1, 5, 5)
    for call, message in (
        (lambda: ops.convolve(image, psf, border="reflect"), "one point spread for each of the 2 pictures"),
        (lambda: ops.convolve(image[:1], psf[0], border="mirror"), "border must be one of"),
        (lambda: ops.convolve(image[0], psf[0], border="reflect"), r"\[B, C, H, W\]"),
        (lambda: ops.convolve(image, psf[0], border="reflect", weight=torch.ones(1000)), "weight must hold the share"),
        (lambda: ops.convolve_varying(image, field, border="reflect"), "needs the level of every pixel"),
        (lambda: ops.convolve_varying(image, field, torch.zeros(2, 4, 5), border="reflect"), "level must be"),
        (lambda: ops.convolve_varying(image, field, image[:, 0], border="valid"), "border='valid'"),
        (lambda: ops.warp_mean(image, warps, border="reflect"), "needs depth"),
        (lambda: ops.srgb_encode(image, levels=[255]), "levels must be"),
        (lambda: ops.response_encode(image, np.zeros((2, 9)), levels=[255]), "levels must be"),
        (lambda: ops.response_decode(image, np.zeros((3, 9))), r"must be \[1, NODES\] or \[2, NODES\]"),
        (lambda: ops.poisson(image, SEEDS[:1], origin_px=ORIGINS[:1]), "seed must be one integer"),
        (lambda: ops.poisson(image, np.array([1, -1]), origin_px=ORIGINS[:1]), "seed must be one integer"),
        (lambda: ops.gaussian_noise(image, 0.1, SEEDS, origin_px=ORIGINS[:3]), "origin_px must be"),
        (lambda: ops.poisson(image - 1, SEEDS, origin_px=ORIGINS[:1]), "mean of a Poisson distribution"),
        (lambda: ops.sensor(image, camera(), SEEDS, origin_px=ORIGINS[:2]), "3 channels"),
        (lambda: ops.sensor(image[:1], camera(), SEEDS[:1], origin_px=ORIGINS[:1]), "2 sensors for 1 pictures"),
        (lambda: ops.develop(image, development("malvar"), origin_px=ORIGINS), "4 developments for 2 pictures"),
        (lambda: ops.develop(image.repeat(2, 3, 1, 1), development("malvar"), origin_px=ORIGINS), "has 1 channel"),
        (lambda: ops.develop(image.repeat(2, 1, 1, 1), development(None), origin_px=ORIGINS), "has 3 channels"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            call()
