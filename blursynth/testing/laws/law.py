"""What a law is, and how a blur is held against one."""

from __future__ import annotations

import contextlib
import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from blursynth.errors import InvalidValueError, did_you_mean
from blursynth.testing.adapter import Adapter, Array, Blur

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Fault", "Law", "LawViolation", "Measurement", "Profile", "Result", "after", "describe", "law"]

Case = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """One comparison.

    Parameters
    ----------
    deviation, allowed
        What was found and what is tolerated, in ``unit``.
    got, expected
        ``[C, H, W]`` pictures to show, where the law compares pictures.
    """

    deviation: float
    allowed: float
    unit: str = "of white"
    got: Array | None = None
    expected: Array | None = None

    @property
    def kept(self) -> bool:
        """The deviation is tolerated; NaN is not."""
        return bool(self.deviation <= self.allowed * (1 + 1e-9))  # sums that are equal to the last bit but one

    @staticmethod
    def between(got: Array, expected: Array, allowed: float) -> Measurement:
        """The largest difference of two pictures."""
        if got.shape != expected.shape:
            return Measurement(np.inf, allowed, "of white", got, expected)
        difference = float(np.abs(got - expected).max(initial=0.0))
        return Measurement(difference, allowed, "of white", got, expected)


@dataclass(frozen=True)
class Fault:
    """The fault that a law is meant to see, in an adjustable size.

    Parameters
    ----------
    what
        In words that complete "It would have seen ... of SIZE UNIT".
    unit
        Of the size.
    make
        ``make(blur, size)``: the same blur with the fault.
    largest
        The size to begin with. A law that does not see even this one is blind in these cases.
    """

    what: str
    unit: str
    make: Callable[[Blur, float], Blur]
    largest: float = 1.0


def after(change: Callable[[Array, float], Array]) -> Callable[[Blur, float], Blur]:
    """A fault of the result: ``change(result, size)``."""
    return lambda blur, size: blur.changed(lambda inner, image, **rest: change(inner(image, **rest), size))


@dataclass(frozen=True)
class Profile:
    """How long a law is tried: examples, seconds, and how many of the cases serve to measure the power."""

    examples: int = 25
    seconds: float = 4.0
    of_power: int = 6


FEWEST = 8
"""Cases that are tried however long they take."""

PROFILES = {"dev": Profile(), "ci": Profile(60, 12.0, 10), "thorough": Profile(1000, 300.0, 20)}


@dataclass(frozen=True)
class Law:
    """A law of blur.

    ``law.check(function, adapter)`` raises :class:`LawViolation`; ``law.examine(function, adapter)`` gives a
    :class:`Result`.
    """

    name: str
    topic: str
    statement: str
    looks_like: str
    tolerance: str
    reference: str
    cases: Callable[[Blur], SearchStrategy[Case]] = field(repr=False)
    measure: Callable[..., Measurement] = field(repr=False)
    fault: Fault = field(repr=False)
    needs: Callable[[Adapter], str | None] = field(repr=False)

    def left_out(self, adapter: Adapter) -> tuple[str, str] | None:
        """``exempt`` or ``not applicable`` and the reason, where a blur with this adapter is not held to the law."""
        if self.name in adapter.exempt:
            return "exempt", adapter.exempt[self.name]
        reason = self.needs(adapter)
        return None if reason is None else ("not applicable", reason)

    def check(
        self, function: Callable[..., Any], adapter: Adapter | None = None, *, profile: str | Profile = "dev"
    ) -> Result:
        """Raise :class:`LawViolation` where the function breaks the law; the result otherwise."""
        result = self.examine(function, adapter, profile=profile, power=False)
        if result.status in ("violated", "failed"):
            raise LawViolation(result)
        return result

    def examine(
        self,
        function: Callable[..., Any],
        adapter: Adapter | None = None,
        *,
        profile: str | Profile = "dev",
        power: bool = True,
    ) -> Result:
        """Hold a function against the law.

        Parameters
        ----------
        function
            The blur.
        adapter
            How it is called and what it claims.
        profile
            ``dev``, ``ci``, ``thorough``, or a :class:`Profile`.
        power
            Measure the smallest fault that would have been seen.
        """
        adapter = adapter or Adapter()
        blur = Blur(function, adapter)
        if (left_out := self.left_out(adapter)) is not None:
            status, reason = left_out
            return Result(self, blur.name, status, why=reason)
        return _examine(self, blur, _profile(profile), power)


@dataclass(frozen=True)
class Result:
    """What was found when a blur was held against a law.

    Parameters
    ----------
    status
        ``kept``, ``violated``, ``failed`` (the function raised an error), ``blind`` (it keeps the law, but in the cases
        tried even the largest fault goes unseen), ``exempt`` (its adapter does not claim the law), ``not applicable``.
    measurement
        Of the counterexample, else of the case that came closest to the tolerance.
    case
        The smallest counterexample.
    power
        The smallest size of the law's fault that would have been seen.
    """

    law: Law
    blur: str
    status: str
    why: str = ""
    measurement: Measurement | None = None
    case: Case | None = None
    power: float | None = None
    examples: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        law, found = self.law, self.measurement
        lines = [f"{self.blur}: {law.name} {self.status}" + (f" ({self.why})" if self.why else "")]
        lines.append(f"  law         {law.statement}")
        if self.case is not None:
            lines += [f"  {name:<11} {describe(value)}" for name, value in self.case.items()]
        if found is not None:
            lines.append(
                f"  measured    {found.deviation:.3g} {found.unit}, allowed {found.allowed:.3g}: {law.tolerance}"
            )
            if self.status == "violated" and found.got is not None and found.got.size <= 40:
                lines += [f"  got         {describe(found.got)}", f"  expected    {describe(found.expected)}"]
        if self.status == "violated":
            lines.append(f"  looks like  {law.looks_like}")
        if self.power is not None:
            lines.append(f"  power       {law.fault.what} of {self.power:.2g} {law.fault.unit} would have been seen")
        return "\n".join(lines)


class LawViolation(AssertionError):
    """A blur breaks a law; ``result`` holds the smallest counterexample."""

    def __init__(self, result: Result) -> None:
        super().__init__(str(result))
        self.result = result


def law(
    *,
    statement: str,
    looks_like: str,
    tolerance: str,
    reference: str,
    cases: Callable[[Blur], SearchStrategy[Case]],
    fault: Fault,
    needs: Callable[[Adapter], str | None] = lambda adapter: None,
) -> Callable[[Callable[..., Measurement]], Law]:
    """Make a law of a function that measures it: ``measure(blur, **case)``."""

    def make(measure: Callable[..., Measurement]) -> Law:
        name = measure.__name__.strip("_")
        topic = measure.__module__.rsplit(".", 1)[-1]
        return Law(name, topic, statement, looks_like, tolerance, reference, cases, measure, fault, needs)

    return make


class _OutOfTime(BaseException):
    """Ends a search: not an Exception, which would be taken for the function's."""


def _examine(law: Law, blur: Blur, profile: Profile, power: bool) -> Result:
    from hypothesis import HealthCheck, Phase, find, settings
    from hypothesis.errors import Flaky, NoSuchExample

    began = clock = time.perf_counter()
    tried: list[Case] = []
    closest: Measurement | None = None
    broken: tuple[int, Case, Measurement | Exception] | None = None

    def breaks(case: Case) -> bool:
        nonlocal clock, closest, broken
        # A search that found something may take as long again to make it small.
        if time.perf_counter() - clock > profile.seconds * (1 if broken is None else 2) and len(tried) >= FEWEST:
            raise _OutOfTime
        try:
            found: Measurement | Exception = law.measure(blur, **case)
        except Exception as error:  # of the function
            found = error
        if not tried:
            clock = time.perf_counter()  # libraries are loaded and compiled in the first call
        tried.append(case)
        if isinstance(found, Measurement) and found.kept:
            if closest is None or found.deviation * closest.allowed > closest.deviation * found.allowed:
                closest = found
            return False
        size = _size(case)
        if broken is None or size <= broken[0]:
            broken = (size, case, found)
        return True

    known = settings(
        max_examples=profile.examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    try:
        # A random function breaks the law in some calls only, which Hypothesis calls flaky; the case is kept.
        with contextlib.suppress(NoSuchExample, _OutOfTime, Flaky):
            find(law.cases(blur), breaks, settings=known, random=random.Random(0))
    except Exception as error:  # of the function, while its reach was measured
        return Result(law, blur.name, "failed", why=_said(error), seconds=time.perf_counter() - began)
    result = functools.partial(Result, law, blur.name)
    if broken is not None:
        _, case, found = broken
        seconds = time.perf_counter() - began
        if isinstance(found, Exception):
            return result("failed", why=_said(found), case=case, examples=len(tried), seconds=seconds)
        return result("violated", measurement=found, case=case, examples=len(tried), seconds=seconds)
    smallest = _power(law, blur, _varied(tried, profile.of_power)) if power else None
    return result(
        "blind" if power and smallest is None else "kept",
        measurement=closest,
        power=smallest,
        examples=len(tried),
        seconds=time.perf_counter() - began,
    )


def _profile(profile: str | Profile) -> Profile:
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise InvalidValueError(
            f"There is no profile {profile!r}.", fix=did_you_mean(profile, PROFILES), field="profile", value=profile
        )
    return PROFILES[profile]


def _varied(cases: list[Case], count: int) -> list[Case]:
    """Some of the cases, from the one with most to read to the one with least."""
    ordered = sorted(cases, key=_size, reverse=True)
    return [ordered[round(n)] for n in np.linspace(0, len(ordered) - 1, min(count, len(ordered)))]


def _power(law: Law, blur: Blur, cases: list[Case]) -> float | None:
    """The smallest size of the law's fault that one of the cases shows, to a factor of 2."""

    if "reach_px" in vars(blur):  # measured: a fault shall not be seen by a reach that has grown with it
        blur = blur.claiming(reach_px=blur.reach_px)

    def seen(size: float) -> bool:
        faulty = law.fault.make(blur, size)
        for case in cases:
            with contextlib.suppress(Exception):  # which is not the law's
                if not law.measure(faulty, **case).kept:
                    return True
        return False

    size, smallest = law.fault.largest, None
    for step in (8.0, 2.0):
        while size > 1e-16 and seen(size):
            smallest, size = size, size / step
        if smallest is None:
            return None
        size = smallest / 2
    return smallest


def _size(case: Case) -> int:
    """How much there is to read in a case."""
    total = 0
    for value in case.values():
        if isinstance(value, np.ndarray):
            total += value.size + 4 * int((value != (value.flat[0] if value.size else 0)).sum())
    return total


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def describe(value: Any) -> str:
    """A value of a case in words that fit on a line.

    >>> spot = np.zeros((1, 4, 5)); spot[0, 1, 2] = 1
    >>> describe(spot)
    '4 x 5 px, all 0 but [0, 1, 2] = 1'
    """
    if not isinstance(value, np.ndarray):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    if value.size == 0:
        return f"empty, shape {value.shape}"
    shape = " x ".join(map(str, value.shape[-2:])) + (" px" if value.ndim > 1 else "")
    known, counts = np.unique(value, return_counts=True)
    common = known[counts.argmax()]
    if len(known) == 1:
        return f"{shape}, all {common:.4g}"
    others = np.argwhere(value != common)
    if len(others) <= 4:
        parts = ", ".join(f"[{', '.join(map(str, at))}] = {value[tuple(at)]:.4g}" for at in others)
        return f"{shape}, all {common:.4g} but {parts}"
    if value.size <= 12:
        return f"{shape}, {np.array2string(value, precision=4, separator=', ').replace(chr(10), '')}"
    return f"{shape}, {value.min():.4g} to {value.max():.4g}, mean {value.mean():.4g}, {len(known)} values"
