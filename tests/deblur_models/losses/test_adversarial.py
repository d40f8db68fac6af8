"""Adversarial losses against numpy, and the gradient penalty against finite differences and critics with known slopes."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.losses import ADVERSARIAL, AdversarialLoss, gradient_penalty, make_adversarial

Array = NDArray[np.float64]


def log_s(x: Array) -> Array:
    return np.log(1 / (1 + np.exp(-x)))


# (kind) -> (discriminator's loss, generator's loss) of one map, written as in the papers.
FORMULAS: dict[str, tuple[Callable[[Array, Array], float], Callable[[Array, Array], float]]] = {
    "wgan_gp": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "lsgan": (lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(), lambda r, f: ((f - 1) ** 2).mean()),
    "vanilla_gan": (
        lambda r, f: -0.5 * (log_s(r).mean() + np.log(1 - np.exp(log_s(f))).mean()),
        lambda r, f: -log_s(f).mean(),
    ),
    "ragan_ls": (
        lambda r, f: 0.5 * (((r - f.mean() - 1) ** 2).mean() + ((f - r.mean() + 1) ** 2).mean()),
        lambda r, f: 0.5 * (((f - r.mean() - 1) ** 2).mean() + ((r - f.mean() + 1) ** 2).mean()),
    ),
    "relativistic_blur": (
        lambda r, f: -0.5 * (log_s(r - f.mean()).mean() + log_s(-(f - r.mean())).mean()),
        lambda r, f: (
            -0.25
            * sum(
                log_s(d).mean() + log_s(-d).mean()  # cross entropy of both with 1/2
                for d in (r - f.mean(), f - r.mean())
            )
        ),
    ),
}

every = pytest.mark.parametrize("loss", [k() for k in ADVERSARIAL], ids=lambda loss: loss.kind)


def maps(seed: int, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes)


class Critic(nn.Module):
    """A small patch discriminator with as many heads as wanted."""

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.norm = nn.InstanceNorm2d(8)
        self.heads = nn.ModuleList(nn.Conv2d(8, 1, 3, padding=1) for _ in range(heads))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        x = nn.functional.leaky_relu(self.norm(self.first(pictures)), 0.2)
        return tuple(head(x) for head in self.heads)


def critic(heads: int = 1, *, seed: int = 0) -> Critic:
    torch.manual_seed(seed)
    return Critic(heads)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every
@given(seed=st.integers(0, 1000), batch=st.integers(1, 3), height=st.integers(1, 6), width=st.integers(1, 6))
def test_formulas(loss: AdversarialLoss, seed: int, batch: int, height: int, width: int) -> None:
    shape = (batch, 1, height, width)
    (real,), (fake,) = maps(seed, shape), maps(seed + 1, shape)
    for act, formula in zip((loss.discriminator_loss, loss.generator_loss), FORMULAS[loss.kind], strict=True):
        assert act((real,), (fake,)).item() == pytest.approx(formula(real.numpy(), fake.numpy()), rel=1e-9, abs=1e-9)


@every
def test_two_scales_are_the_mean_of_both(loss: AdversarialLoss) -> None:
    """Also where the maps differ in size: each scale counts alike, however many places it has."""
    real, fake = maps(1, (2, 1, 5, 5), (2, 1, 2, 2)), maps(2, (2, 1, 5, 5), (2, 1, 2, 2))
    for act in (loss.discriminator_loss, loss.generator_loss):
        parts = [act((r,), (f,)) for r, f in zip(real, fake, strict=True)]
        assert act(real, fake).item() == pytest.approx((parts[0] + parts[1]).item() / 2)
        assert parts[0].item() != pytest.approx(parts[1].item())


@every
def test_derivatives(loss: AdversarialLoss) -> None:
    (real,), (fake,) = maps(3, (2, 1, 3, 3)), maps(4, (2, 1, 3, 3))
    for act in (loss.discriminator_loss, loss.generator_loss):
        assert torch.autograd.gradcheck(
            lambda f, act=act: act((real,), (f,)), (fake.clone().requires_grad_(),), fast_mode=True
        )


@every
def test_each_wants_what_it_should(loss: AdversarialLoss) -> None:
    low, high = torch.full((1, 1, 2, 2), -0.4), torch.full((1, 1, 2, 2), 0.4)
    assert loss.discriminator_loss((high,), (low,)) < loss.discriminator_loss((low,), (high,))
    fake = low.clone().requires_grad_()
    loss.generator_loss((high,), (fake,)).backward()
    assert fake.grad is not None
    assert bool((fake.grad < 0).all())  # pictures that seem more real cost less


def test_relativistic_blur_wants_no_picture_more_real_than_real() -> None:
    """Its least value is ln 2 at equal answers; the least-squares form still pulls there."""
    blur, squares = make_adversarial({"kind": "relativistic_blur"}), make_adversarial({"kind": "ragan_ls"})
    real = torch.zeros(1, 1, 2, 2)
    same = real.clone().requires_grad_()
    value = blur.generator_loss((real,), (same,))
    value.backward()
    assert value.item() == pytest.approx(math.log(2))
    assert same.grad is not None
    assert same.grad.abs().max().item() < 1e-7
    for shift in (-1.0, 1.0):
        assert blur.generator_loss((real,), (real + shift,)) > value
    assert squares.generator_loss((real,), (real + 0.5,)) < squares.generator_loss((real,), (real,))


@every
def test_half_precision_answers_are_taken_in_float32(loss: AdversarialLoss) -> None:
    (real,), (fake,) = maps(5, (2, 1, 3, 3)), maps(6, (2, 1, 3, 3))
    halves = (real.bfloat16(),), (fake.bfloat16(),)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for act in (loss.discriminator_loss, loss.generator_loss):
            value = act(*halves)
            assert value.dtype == torch.float32
            assert value.item() == pytest.approx(act((halves[0][0].float(),), (halves[1][0].float(),)).item(), abs=1e-6)


@every
def test_answers_must_fit(loss: AdversarialLoss) -> None:
    one = torch.zeros(1, 1, 2, 2)
    with pytest.raises(InvalidValueError, match="got 1 maps of logits for real images and 2"):
        loss.generator_loss((one,), (one, one))
    with pytest.raises(InvalidValueError, match=r"tuple of maps of logits, got Tensor of shape \[1, 1, 2, 2\]"):
        loss.discriminator_loss(one, one)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="got tuple without any"):
        loss.discriminator_loss((), ())


def test_registry() -> None:
    assert set(FORMULAS) == {k.kind for k in ADVERSARIAL}
    for kind in ADVERSARIAL:
        loss = kind()
        assert make_adversarial({"kind": loss.kind, **loss.fields()}) == loss
        assert kind.__doc__
        assert all(field.description for field in kind.model_fields.values())
        assert (loss.penalty_weight == 10) == (loss.kind == "wgan_gp")
    with pytest.raises(InvalidValueError, match=r"no adversarial loss 'wgan'.*wgan_gp"):
        make_adversarial({"kind": "wgan"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "wgan_gp", "penalty_weight": -1.0}, r"WganGP.penalty_weight must be >= 0"),
        ({"kind": "lsgan", "weight": 0.0}, r"LSGAN.weight must be > 0"),
        ({"kind": "lsgan", "paper_compat": True}, r"LSGAN has no field 'paper_compat'"),
        ({"kind": "wgan_gp", "paper_compat": "yes"}, r"WganGP.paper_compat must be true or false"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make_adversarial(fields)


def test_penalty_of_a_critic_with_a_known_slope() -> None:
    """``D(x) = sum(w x)`` spread over a map of 4: the mean has the slope |w| / 4 ... here made to be 3."""
    weight = torch.randn(1, 3, 5, 4, generator=stream(1))
    weight *= 3 / weight.norm()

    def linear(pictures: Tensor) -> tuple[Tensor, ...]:
        value = (pictures * weight).sum(dim=(1, 2, 3))
        return (value[:, None, None, None].expand(-1, 1, 2, 2),)

    real, fake = torch.rand(2, 2, 3, 5, 4, generator=stream())
    assert gradient_penalty(linear, real, fake, stream()).item() == pytest.approx((3 - 1) ** 2, rel=1e-5)
    # The form of DeblurGAN's code: the sum over the map (x 4), pictures in -1..1 (/ 2), one norm per pixel.
    pixels = (2 * weight).norm(dim=1)
    expected = ((pixels - 1) ** 2).mean().item()
    assert gradient_penalty(linear, real, fake, stream(), paper_compat=True).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("heads", [1, 2])
def test_penalty_against_finite_differences(heads: int) -> None:
    """Every value of the pictures is moved; nothing is asked of autograd."""
    network = critic(heads).double()
    real, fake = torch.rand(2, 2, 3, 6, 6, generator=stream(), dtype=torch.float64)
    share = torch.rand(2, 1, 1, 1, generator=stream(9)).double()
    between = share * real + (1 - share) * fake
    slopes = torch.zeros(heads, 2, 3 * 6 * 6, dtype=torch.float64)
    step = 1e-5
    with torch.no_grad():
        for place in range(slopes.shape[-1]):
            move = torch.zeros(3 * 6 * 6, dtype=torch.float64)
            move[place] = step
            up, down = (network(between + sign * move.view(1, 3, 6, 6)) for sign in (1, -1))
            for head in range(heads):
                slopes[head, :, place] = (up[head] - down[head]).mean(dim=(1, 2, 3)) / (2 * step)
    expected = ((slopes.norm(dim=2) - 1) ** 2).mean()
    assert gradient_penalty(network, real, fake, stream(9)).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("paper_compat", [False, True])
def test_second_derivatives_of_the_weights(paper_compat: bool) -> None:
    """The penalty's derivative by the weights, through the derivative by the pictures, by finite differences."""
    network = critic().double()
    real, fake = torch.rand(2, 2, 3, 8, 8, generator=stream(), dtype=torch.float64)

    def penalty() -> Tensor:
        return gradient_penalty(network, real, fake, stream(4), paper_compat=paper_compat)

    penalty().backward()
    for weight in (network.first.weight, network.heads[0].weight):
        assert weight.grad is not None
        direction = torch.randn(weight.shape, generator=stream(2), dtype=torch.float64)
        expected = (weight.grad * direction).sum().item()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * 1e-5 * direction
            values.append(penalty().item())
            with torch.no_grad():
                weight -= sign * 1e-5 * direction
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("heads", [1, 2])
def test_training_with_the_penalty_brings_the_slope_to_one(heads: int) -> None:
    network, loss = critic(heads), make_adversarial({"kind": "wgan_gp"})
    real, fake = torch.rand(2, 4, 3, 16, 16, generator=stream())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    random = stream(1)
    penalties = []
    for _ in range(60):
        optimizer.zero_grad()
        penalty = loss.gradient_penalty(network, real, fake, random)
        total = loss.discriminator_loss(network(real), network(fake)) + loss.penalty_weight * penalty
        total.backward()
        optimizer.step()
        penalties.append(penalty.item())
    assert penalties[0] > 0.5
    assert penalties[-1] < 0.1
    assert loss.discriminator_loss(network(real), network(fake)).item() < 0  # and it still tells them apart


def test_pictures_between_are_drawn_from_the_stream_alone() -> None:
    network = critic()
    real, fake = torch.rand(2, 3, 3, 8, 8, generator=stream())
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = gradient_penalty(network, real, fake, stream(7))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(gradient_penalty(network, real, fake, stream(7)), one)
    assert not torch.equal(gradient_penalty(network, real, fake, stream(8)), one)


def test_pictures_get_no_gradient_and_keep_their_graph() -> None:
    network = critic()
    real = torch.rand(2, 3, 8, 8, generator=stream())
    fake = torch.rand(2, 3, 8, 8, generator=stream(1)).requires_grad_()
    with torch.no_grad():  # a penalty needs derivatives of its own, whatever is around it
        penalty = gradient_penalty(network, real, fake, stream())
    penalty.backward()
    assert fake.grad is None
    assert network.first.weight.grad is not None


def test_precision_is_float32_whatever_autocast_says() -> None:
    network = critic()
    real, fake = torch.rand(2, 2, 3, 8, 8, generator=stream())
    expected = gradient_penalty(network, real, fake, stream())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gradient_penalty(network, real, fake, stream()), expected)
        half = gradient_penalty(network, real, fake.bfloat16(), stream())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(expected.item(), rel=0.02)


def test_paper_compat_is_a_field_of_wgan_gp_alone() -> None:
    network = critic()
    real, fake = torch.rand(2, 2, 3, 8, 8, generator=stream())
    plain, published = (
        make_adversarial({"kind": "wgan_gp", "paper_compat": p}).gradient_penalty(network, real, fake, stream())
        for p in (False, True)
    )
    assert plain.item() != pytest.approx(published.item(), rel=1e-3)
    with_least_squares = make_adversarial({"kind": "lsgan", "penalty_weight": 1.0})
    assert torch.equal(with_least_squares.gradient_penalty(network, real, fake, stream()), plain)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler, while it is imported
def test_what_has_no_penalty_is_refused() -> None:
    network = critic()
    real, fake = torch.rand(2, 2, 3, 8, 8, generator=stream())
    with pytest.raises(InvalidValueError, match=r"as many real as generated .* got \[2, 3, 8, 8\] and \[1, 3, 8, 8\]"):
        gradient_penalty(network, real, fake[:1], stream())
    with pytest.raises(InvalidValueError, match=r"got one from torch.compile.*not support second derivatives"):
        gradient_penalty(torch.compile(network), real, fake, stream())
    with pytest.raises(InvalidValueError, match=r"tuple of maps of logits, got Tensor"):
        gradient_penalty(lambda x: network(x)[0], real, fake, stream())


def test_pooled_means_are_those_of_the_last_answers_and_have_no_gradient() -> None:
    """As DeblurGAN-v2's code has it: every answer joins its pool, then both losses take the pools' plain means."""
    loss = make_adversarial({"kind": "ragan_ls", "pool_pictures": 5})
    answers = loss.pool()
    assert answers is not None
    pools: dict[tuple[str, int], deque[Array]] = defaultdict(lambda: deque(maxlen=5))
    for step in range(4):
        real, fake = maps(2 * step, (2, 1, 3, 3), (2, 1, 2, 2)), maps(2 * step + 1, (2, 1, 3, 3), (2, 1, 2, 2))
        for sort, found in (("real", real), ("fake", fake)):
            for number, one in enumerate(found):
                pools[sort, number].extend(one.numpy())
        mean = {key: np.concatenate(pool).mean() for key, pool in pools.items()}
        expected = {
            margin: np.mean([
                0.5 * ((r.numpy() - mean["fake", n] - margin) ** 2).mean()
                + 0.5 * ((f.numpy() - mean["real", n] + margin) ** 2).mean()
                for n, (r, f) in enumerate(zip(real, fake, strict=True))
            ])
            for margin in (1, -1)
        }  # fmt: skip
        assert loss.discriminator_loss(real, fake, answers).item() == pytest.approx(expected[1], rel=1e-6)
        told = [one.clone().requires_grad_() for one in fake]
        value = loss.generator_loss(real, tuple(told), answers)
        assert value.item() == pytest.approx(expected[-1], rel=1e-6)
        value.backward()
        for number, (one, answer) in enumerate(zip(told, fake, strict=True)):
            slope = (answer.numpy() - mean["real", number] - 1) / answer.numel() / 2  # of half the mean over two maps
            assert one.grad is not None
            assert np.allclose(one.grad.numpy(), slope, rtol=1e-5)


def test_without_a_pool_a_batch_s_own_mean_is_learnt_through() -> None:
    real, fake = maps(0, (1, 1, 4, 4)), maps(1, (1, 1, 4, 4))
    slopes = []
    for pool_pictures in (0, 1):
        loss = make_adversarial({"kind": "ragan_ls", "pool_pictures": pool_pictures})
        answers = loss.pool()
        loss.discriminator_loss(real, fake, answers)
        told = fake[0].clone().requires_grad_()
        loss.generator_loss(real, (told,), answers).backward()
        assert told.grad is not None
        slopes.append(told.grad.flatten())
    assert torch.nn.functional.cosine_similarity(slopes[0], slopes[1], dim=0) < 0.99


def test_a_pool_is_kept_and_resumed() -> None:
    loss = make_adversarial({"kind": "ragan_ls", "pool_pictures": 3})
    whole, first, second = loss.pool(), loss.pool(), loss.pool()
    assert whole is not None and first is not None and second is not None  # noqa: PT018
    assert first.state() == {}
    with pytest.raises(InvalidValueError, match="pool is empty"):
        first.means()
    with pytest.raises(InvalidValueError, match="needs its pool"):
        loss.generator_loss(maps(0, (1, 1, 2, 2)), maps(1, (1, 1, 2, 2)))
    for step in range(3):
        for pool in (whole, first) if step < 2 else (whole,):
            pool.add(maps(step, (2, 1, 2, 2)), maps(9 + step, (2, 1, 2, 2)))
    second.load(first.state())
    second.add(maps(2, (2, 1, 2, 2)), maps(11, (2, 1, 2, 2)))
    assert all(torch.equal(a, b) for a, b in zip(whole.means(), second.means(), strict=True))
