"""Adversarial losses: what discriminator and generator are told about each other's answers.

A discriminator gives a tuple of maps of logits, one per scale or part (a double discriminator: two); every loss is the
mean over each map and over the maps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from blursynth.errors import InvalidValueError
from blursynth.records.kind import Kind

__all__ = [
    "LSGAN",
    "AdversarialLoss",
    "AnswerPool",
    "Logits",
    "RaganLS",
    "RelativisticBlur",
    "VanillaGAN",
    "WganGP",
    "gradient_penalty",
]

Logits = tuple[Tensor, ...]


class AnswerPool:
    """Mean answers of a discriminator to the last pictures, real and generated, of each of its maps; without gradients.

    Processes that train together put the answers of all of them in, so that each has the same pool.

    Parameters
    ----------
    pictures
        How many of the last ones are kept of each sort.
    """

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        self._kept: Tensor | None = None  # [sort, map, picture], the newest last

    def add(self, real: Logits, fake: Logits) -> None:
        """Answers to a batch; of real pictures as many as of generated ones."""
        told = [torch.stack([m.detach().float().flatten(1).mean(1) for m in maps]) for maps in (real, fake)]
        new = torch.stack(told)
        before = new[..., :0] if self._kept is None else self._kept.to(new.device)
        self._kept = torch.cat((before, new), dim=-1)[..., -self.pictures :]

    def means(self) -> tuple[Tensor, Tensor]:
        """The mean answers to real and to generated pictures, one number per map."""
        if self._kept is None:
            raise InvalidValueError("The pool holds no answers yet; the discriminator's step comes first.")
        real, fake = self._kept.mean(-1)
        return real, fake

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {} if self._kept is None else {"kept": self._kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on with what :meth:`state` gave."""
        self._kept = state.get("kept")


class AdversarialLoss(Kind):
    """What a discriminator and a generator minimize.

    ``penalty_weight`` > 0 adds a gradient penalty to the discriminator's loss, in float32 whatever autocast chose.
    """

    compares_with_means: ClassVar[bool] = False
    """Whether answers are compared with means over the batch, so that the loss is not a mean over pictures: processes
    that share a batch then compute it from the answers of all of them."""

    weight: float = Field(default=1.0, gt=0, le=1e6, description="factor of the generator's part in its sum of losses")
    penalty_weight: float = Field(default=0.0, ge=0, le=1e6, description="factor of the gradient penalty")

    @abstractmethod
    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        """What the discriminator minimizes, from its answers to real and (detached) generated pictures.

        Where a loss compares with earlier answers (:meth:`pool`), these are put into ``answers`` first.
        """

    @abstractmethod
    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        """What the generator minimizes; a relativistic loss compares with ``real``, or with ``answers``."""

    def pool(self) -> AnswerPool | None:
        """An empty pool for both losses where they compare with earlier answers, else None."""
        return None

    def gradient_penalty(
        self,
        discriminator: Callable[[Tensor], Sequence[Tensor]],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """The penalty without ``penalty_weight``, see :func:`gradient_penalty`; draws one number per picture."""
        return gradient_penalty(discriminator, real, fake, generator)


class WganGP(AdversarialLoss):
    """Wasserstein loss with gradient penalty: D minimizes ``E f - E r + lambda penalty``, G minimizes ``-E f``.

    ``penalty_weight`` is lambda, 10 as published; DeblurGAN takes 5 steps of D for one of G.

    ``paper_compat`` takes the penalty of DeblurGAN's code, which is another one than that of the paper it cites, see
    :func:`gradient_penalty`.

    Source: I. Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017.
    """

    penalty_weight: float = Field(default=10.0, ge=0, le=1e6, description="factor of the gradient penalty, lambda")
    paper_compat: bool = Field(
        default=False, description="whether the penalty is that of DeblurGAN's code: norms of single pixels' gradients"
    )

    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: f.mean() - r.mean())

    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: -f.mean())

    def gradient_penalty(
        self,
        discriminator: Callable[[Tensor], Sequence[Tensor]],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        return gradient_penalty(discriminator, real, fake, generator, paper_compat=self.paper_compat)


class LSGAN(AdversarialLoss):
    """Least squares: D minimizes ``(E (r - 1)^2 + E f^2) / 2``, G minimizes ``E (f - 1)^2``.

    Source: X. Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017, with the factors of CycleGAN's
    code (the paper has a half in the generator's part too).
    """

    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: ((r - 1).square().mean() + f.square().mean()) / 2)

    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: (f - 1).square().mean())


class VanillaGAN(AdversarialLoss):
    """Binary cross entropy of logits: D minimizes ``-(E ln s(r) + E ln(1 - s(f))) / 2``, G ``-E ln s(f)``.

    s is the logistic function; the generator's part is the one that does not saturate.

    Source: I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
    """

    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: (F.softplus(-r).mean() + F.softplus(f).mean()) / 2)

    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: F.softplus(-f).mean())


class RaganLS(AdversarialLoss):
    """Relativistic average least squares: each answer is compared with the mean answer to the other sort.

    D minimizes ``(E (r - E f - 1)^2 + E (f - E r + 1)^2) / 2``, G ``(E (r - E f + 1)^2 + E (f - E r - 1)^2) / 2``, with
    means over the batch and the map. Of the two parts of a double discriminator the mean is taken. DeblurGAN-v2 weights
    the generator's part by .01 in the paper and .001 in its code; the paper's formula lacks the half, the code has it.

    ``pool_pictures`` takes the inner means ``E r`` and ``E f`` over the answers to that many of the last pictures, as
    numbers: nothing is learnt through them. DeblurGAN-v2's code does so with 50 pictures, since there a batch is one
    picture, whose own mean would be compared with itself. With 0 they are those of the batch, and the generator's
    gradient runs through ``E f`` as well, as in the definition of the loss, which points another way.

    Sources: A. Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019; O. Kupyn et al., "DeblurGAN-v2",
    ICCV 2019.
    """

    compares_with_means: ClassVar[bool] = True

    pool_pictures: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="number of the last pictures whose answers the means are taken over, 50 in DeblurGAN-v2's code; 0: "
        "those of the batch",
    )

    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        if answers is not None:
            answers.add(real, fake)
        return self._compared(real, fake, answers, 1.0)

    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return self._compared(real, fake, answers, -1.0)

    def pool(self) -> AnswerPool | None:
        return AnswerPool(self.pool_pictures) if self.pool_pictures else None

    def _compared(self, real: Logits, fake: Logits, answers: AnswerPool | None, margin: float) -> Tensor:
        """How far real answers are from lying ``margin`` above the mean generated one, and generated ones below."""
        if answers is None:
            if self.pool_pictures:
                raise InvalidValueError("ragan_ls with pool_pictures needs its pool of answers: loss.pool().")
            return _over_maps(
                real,
                fake,
                lambda r, f: ((r - f.mean() - margin).square().mean() + (f - r.mean() + margin).square().mean()) / 2,
            )
        mean_real, mean_fake = (iter(means) for means in answers.means())
        return _over_maps(
            real,
            fake,
            lambda r, f: (
                ((r - next(mean_fake) - margin).square().mean() + (f - next(mean_real) + margin).square().mean()) / 2
            ),
        )


class RelativisticBlur(AdversarialLoss):
    """Relativistic blur loss: the generator wants real and generated blur to look alike, both with probability 1/2.

    With ``a = r - E f`` and ``b = f - E r`` (relativistic average logits) D minimizes the usual
    ``-(E ln s(a) + E ln(1 - s(b))) / 2``. G minimizes the cross entropy of both with 1/2,
    ``-(E [ln s(a) + ln(1 - s(a))] + E [ln s(b) + ln(1 - s(b))]) / 4``, whose least value ``ln 2`` is where the
    discriminator tells nothing apart; unlike with the usual loss, generated pictures that seem more real than real ones
    are not an aim.

    A reconstruction: the paper trains G and D of the blurring network with it and its authors published no code for
    training. What the paper states is that both probabilities are pushed towards .5; the published weights are alpha
    .005 (blurring) and beta .01 (deblurring).

    Source: K. Zhang et al., "Deblurring by Realistic Blurring", CVPR 2020.
    """

    compares_with_means: ClassVar[bool] = True

    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(
            real,
            fake,
            lambda r, f: (F.softplus(f.mean() - r).mean() + F.softplus(f - r.mean()).mean()) / 2,
        )

    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: (_undecided(r - f.mean()) + _undecided(f - r.mean())) / 2)


def gradient_penalty(
    discriminator: Callable[[Tensor], Sequence[Tensor]],
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator,
    *,
    paper_compat: bool = False,
) -> Tensor:
    """How far the critic's slope is from 1 between real and generated: ``E (|grad D(u r + (1 - u) f)| - 1)^2``.

    ``u`` is uniform in 0..1, one per picture. D is the mean over a map, as in the losses; the norm runs over all values
    of a picture in 0..1; of several maps the mean penalty is taken. Computed in float32 (or float64 where that comes
    in), outside autocast. It is differentiable by the discriminator's weights; pictures are detached.

    Parameters
    ----------
    discriminator
        Pictures ``[B, 3, H, W]`` to a tuple of maps of logits. It must treat pictures one by one: with statistics of
        the batch the slope is not that of a picture.
    real, fake
        ``[B, 3, H, W]``, of one shape.
    generator
        Where ``u`` is drawn from.
    paper_compat
        The form in the code of DeblurGAN, and of v2: one ``u`` for the whole batch; the gradient of the *sum* over the
        map by pictures in -1..1, and the norm of each pixel's three channels instead of each picture's: every pixel is
        asked for a slope of 1. That bounds the critic otherwise than the theory does.

    Raises
    ------
    InvalidValueError
        Different shapes, a compiled discriminator, or one without maps.
    """
    if real.shape != fake.shape or real.ndim != 4:
        raise InvalidValueError(
            f"A gradient penalty needs as many real as generated pictures [B, 3, H, W], got {list(real.shape)} and "
            f"{list(fake.shape)}.",
            why="It is taken between them, one by one.",
        )
    if hasattr(discriminator, "_orig_mod"):
        raise InvalidValueError(
            "A gradient penalty needs the discriminator itself, got one of torch.compile.",
            why="Compiled graphs have no second derivatives.",
            fix="Leave the discriminator uncompiled.",
        )
    kind = torch.promote_types(torch.promote_types(real.dtype, fake.dtype), torch.float32)
    real, fake = real.detach().to(kind), fake.detach().to(kind)
    # Drawn where the generator lives and in float32, so that the numbers do not depend on device and precision.
    share = torch.rand((1 if paper_compat else len(real), 1, 1, 1), generator=generator, device=generator.device)
    share = share.to(real)
    between = (share * real + (1 - share) * fake).requires_grad_()
    penalties = []
    with torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
        for answer in _checked_maps(discriminator(between)):
            value = answer.sum() if paper_compat else answer.flatten(1).mean(1).sum()
            (slope,) = torch.autograd.grad(value, between, create_graph=True)
            norm = slope.div(2).norm(dim=1) if paper_compat else slope.flatten(1).norm(dim=1)
            penalties.append((norm - 1).square().mean())
        return torch.stack(penalties).mean()


def _undecided(logits: Tensor) -> Tensor:
    """Mean cross entropy with 1/2: ln 2 at 0."""
    return (F.softplus(logits) + F.softplus(-logits)).mean() / 2


def _over_maps(real: Logits, fake: Logits, of_one: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The mean over the maps, in float32 at least."""
    real, fake = tuple(_checked_maps(real)), tuple(_checked_maps(fake))
    if len(real) != len(fake):
        raise InvalidValueError(
            f"An adversarial loss compares the answers of one discriminator, got {len(real)} maps of logits for real "
            f"pictures and {len(fake)} for generated ones."
        )
    return torch.stack([of_one(r, f) for r, f in zip(real, fake, strict=True)]).mean()


def _checked_maps(maps: Sequence[Tensor] | Tensor) -> Iterator[Tensor]:
    if isinstance(maps, Tensor) or not len(maps):
        raise InvalidValueError(
            f"A discriminator gives a tuple of maps of logits, got {type(maps).__name__}"
            f"{f' of shape {list(maps.shape)}' if isinstance(maps, Tensor) else ' without any'}.",
            fix="Put a single map into a tuple: (logits,).",
        )
    for answer in maps:
        yield answer.float() if answer.element_size() < 4 else answer
