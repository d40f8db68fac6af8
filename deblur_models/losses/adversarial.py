"""Adversarial losses of discriminator and generator.

A discriminator returns a tuple of maps of logits, one per scale or part (a double discriminator: two); every loss is
the mean over each map and over the maps.
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
    """Mean outputs of a discriminator for recent images, real and generated, for each of its maps; without gradients.

    In distributed training, the outputs of all processes are added, so that each has the same pool. ``pictures`` is the
    number of recent images kept, for real and generated ones each.
    """

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        self._kept: Tensor | None = None  # [sort, map, picture], the newest last

    def add(self, real: Logits, fake: Logits) -> None:
        """Add the outputs for a batch, with equal numbers of real and generated images."""
        new = torch.stack([torch.stack([m.detach().float().flatten(1).mean(1) for m in maps]) for maps in (real, fake)])
        before = new[..., :0] if self._kept is None else self._kept.to(new.device)
        self._kept = torch.cat((before, new), dim=-1)[..., -self.pictures :]

    def means(self) -> tuple[Tensor, Tensor]:
        """The mean outputs for real and for generated images, one value per map."""
        if self._kept is None:
            raise InvalidValueError("The pool is empty; the discriminator's step must come first.")
        real, fake = self._kept.mean(-1)
        return real, fake

    def state(self) -> dict[str, Tensor]:
        """The state for a checkpoint."""
        return {} if self._kept is None else {"kept": self._kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by :meth:`state`."""
        self._kept = state.get("kept")


class AdversarialLoss(Kind):
    """Base class of adversarial losses: the objectives of a discriminator and a generator.

    ``penalty_weight`` > 0 adds a gradient penalty to the discriminator's loss, in float32 even under autocast.
    """

    compares_with_means: ClassVar[bool] = False
    """Whether outputs are compared with means over the batch, so that the loss is not a mean over images. Processes
    that share a batch then compute it from the outputs of all of them."""

    weight: float = Field(default=1.0, gt=0, le=1e6, description="weight in the generator's sum of losses")
    penalty_weight: float = Field(default=0.0, ge=0, le=1e6, description="weight of the gradient penalty")

    @abstractmethod
    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        """The discriminator's objective, from its outputs for real and (detached) generated images.

        If a loss compares with earlier outputs (:meth:`pool`), the given ones are first added to ``answers``.
        """

    @abstractmethod
    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        """The generator's objective; a relativistic loss compares with ``real``, or with ``answers``."""

    def pool(self) -> AnswerPool | None:
        """An empty pool for both losses if they compare with earlier outputs, else None."""
        return None

    def gradient_penalty(
        self,
        discriminator: Callable[[Tensor], Sequence[Tensor]],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """The penalty without ``penalty_weight``, see :func:`gradient_penalty`; draws one random number per image."""
        return gradient_penalty(discriminator, real, fake, generator)


class WganGP(AdversarialLoss):
    """Wasserstein loss with gradient penalty: D minimizes ``E f - E r + lambda penalty``, G minimizes ``-E f``.

    ``penalty_weight`` is lambda, 10 as published; DeblurGAN uses 5 steps of D per step of G.

    ``paper_compat`` uses the penalty of DeblurGAN's code, which differs from that of the paper it cites; see
    :func:`gradient_penalty`.

    Source: I. Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017.
    """

    penalty_weight: float = Field(default=10.0, ge=0, le=1e6, description="weight of the gradient penalty, lambda")
    paper_compat: bool = Field(
        default=False, description="whether to use the penalty of DeblurGAN's code, with gradient norms per pixel"
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
    code (in the paper, the generator's part has the factor 1/2, too).
    """

    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: ((r - 1).square().mean() + f.square().mean()) / 2)

    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: (f - 1).square().mean())


class VanillaGAN(AdversarialLoss):
    """Binary cross entropy of logits: D minimizes ``-(E ln s(r) + E ln(1 - s(f))) / 2``, G ``-E ln s(f)``.

    s is the logistic function; the generator's part is the non-saturating one.

    Source: I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
    """

    def discriminator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: (F.softplus(-r).mean() + F.softplus(f).mean()) / 2)

    def generator_loss(self, real: Logits, fake: Logits, answers: AnswerPool | None = None) -> Tensor:
        return _over_maps(real, fake, lambda r, f: F.softplus(-f).mean())


class RaganLS(AdversarialLoss):
    """Relativistic average least squares: each output is compared with the mean output for the other class.

    D minimizes ``(E (r - E f - 1)^2 + E (f - E r + 1)^2) / 2``, G ``(E (r - E f + 1)^2 + E (f - E r - 1)^2) / 2``, with
    means over the batch and the map. The two parts of a double discriminator are averaged. DeblurGAN-v2 weights the
    generator's part by .01 in the paper and by .001 in its code; the factor 1/2 is in the code, but not in the paper.

    ``pool_pictures`` computes the inner means ``E r`` and ``E f`` over the outputs for that many recent images, as
    constants without gradients. DeblurGAN-v2's code does so with 50 images, since its batch is a single image, whose
    mean would be compared with itself. With 0, the means are those of the batch, and the generator's gradient also
    flows through ``E f``, as in the definition of the loss, which gives another direction.

    Sources: A. Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019; O. Kupyn et al., "DeblurGAN-v2",
    ICCV 2019.
    """

    compares_with_means: ClassVar[bool] = True

    pool_pictures: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="number of recent images over whose outputs the means are taken, 50 in DeblurGAN-v2's code; 0: the "
        "images of the batch",
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
        """Distance of real outputs from ``margin`` above the mean generated output, and of generated ones below."""
        if answers is None:
            if self.pool_pictures:
                raise InvalidValueError("ragan_ls with pool_pictures needs its pool: loss.pool().")
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
    """Relativistic blur loss: the generator aims at indistinguishable real and generated blur, with probability 1/2.

    With ``a = r - E f`` and ``b = f - E r`` (relativistic average logits) D minimizes the usual
    ``-(E ln s(a) + E ln(1 - s(b))) / 2``. G minimizes the cross entropy of both with 1/2,
    ``-(E [ln s(a) + ln(1 - s(a))] + E [ln s(b) + ln(1 - s(b))]) / 4``, whose minimum ``ln 2`` is reached when the
    discriminator cannot distinguish them. Unlike the usual loss, it does not push generated images to look more real
    than real ones.

    This is a reconstruction: the paper trains G and D of the blurring network with it, but its authors published no
    training code. The paper states that both probabilities are pushed towards .5; the published weights are alpha .005
    (blurring) and beta .01 (deblurring).

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
    """Deviation of the critic's slope from 1 between real and generated: ``E (|grad D(u r + (1 - u) f)| - 1)^2``.

    ``u`` is uniform in 0..1, one per image. D is the mean over a map, as in the losses; the norm is over all values of
    an image in 0..1; the penalty is averaged over several maps. It is computed in float32 (or float64 for such inputs),
    outside autocast, and is differentiable with respect to the discriminator's weights; images are detached.

    Parameters
    ----------
    discriminator
        Maps images ``[B, 3, H, W]`` to a tuple of maps of logits. It must process images independently: with batch
        statistics, the slope is not that of a single image.
    real, fake
        ``[B, 3, H, W]``, with the same shape.
    generator
        Random generator for ``u``.
    paper_compat
        The form in the code of DeblurGAN and DeblurGAN-v2: one ``u`` for the whole batch; the gradient of the *sum*
        over the map with respect to images in -1..1, and the norm over the three channels of each pixel instead of the
        whole image, so that every pixel should have a slope of 1. This constrains the critic differently from the
        theory.

    Raises
    ------
    InvalidValueError
        Shapes differ, the discriminator is compiled, or it returns no maps.
    """
    if real.shape != fake.shape or real.ndim != 4:
        raise InvalidValueError(
            f"A gradient penalty needs as many real as generated images [B, 3, H, W], got {list(real.shape)} and "
            f"{list(fake.shape)}.",
            why="It is computed between pairs of them.",
        )
    if hasattr(discriminator, "_orig_mod"):
        raise InvalidValueError(
            "A gradient penalty needs the original discriminator, got one from torch.compile.",
            why="Compiled graphs do not support second derivatives.",
            fix="Do not compile the discriminator.",
        )
    kind = torch.promote_types(torch.promote_types(real.dtype, fake.dtype), torch.float32)
    real, fake = real.detach().to(kind), fake.detach().to(kind)
    # Drawn on the generator's device and in float32, so that the values do not depend on device and precision.
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
    """The mean over the maps, in at least float32."""
    real, fake = tuple(_checked_maps(real)), tuple(_checked_maps(fake))
    if len(real) != len(fake):
        raise InvalidValueError(
            f"An adversarial loss compares the outputs of one discriminator, got {len(real)} maps of logits for real "
            f"images and {len(fake)} for generated ones."
        )
    return torch.stack([of_one(r, f) for r, f in zip(real, fake, strict=True)]).mean()


def _checked_maps(maps: Sequence[Tensor] | Tensor) -> Iterator[Tensor]:
    if isinstance(maps, Tensor) or not len(maps):
        raise InvalidValueError(
            f"A discriminator must return a tuple of maps of logits, got {type(maps).__name__}"
            f"{f' of shape {list(maps.shape)}' if isinstance(maps, Tensor) else ' without any'}.",
            fix="Put a single map into a tuple: (logits,).",
        )
    for answer in maps:
        yield answer.float() if answer.element_size() < 4 else answer
