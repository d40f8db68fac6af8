"""A blur under test as one pytest test for each law."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blursynth.errors import InvalidValueError, did_you_mean, require
from blursynth.records.text import printable
from blursynth.testing.adapter import Adapter, Blur

if TYPE_CHECKING:
    import pytest

    from blursynth.testing.laws.law import Law, Profile, Result

__all__ = ["obeys"]

Test = Callable[..., Any]


def obeys(
    adapter: Adapter | None = None,
    *,
    laws: Iterable[Law | str] | None = None,
    profile: str | Profile = "dev",
    **fields: Any,
) -> Callable[[Test], Callable[..., None]]:
    """Make a pytest test of each law that the blur should obey.

    The decorated function returns the blur under test, and may use fixtures and parameters as any test. It becomes one
    test for each law, such as ``test_blur[linearity]``. Laws that do not apply are skipped with their reason, which
    ``pytest -rs`` shows. A failure shows the law, the smallest counterexample, and where its picture was written.

    Parameters
    ----------
    adapter
        How the blur is called and what it claims. If neither it nor fields are given, the function may return a pair
        of a blur and its adapter, for claims that depend on parameters.
    laws
        Laws or their names; by default all.
    profile
        How long each law is tried: ``dev``, ``ci``, ``thorough``, or a :class:`~blursynth.testing.laws.law.Profile`.
        The option ``--laws-profile`` of pytest takes precedence.
    fields
        Of :class:`Adapter`, such as ``dtype="uint8"``; with an adapter, what is different.

    Raises
    ------
    InvalidValueError
        A law or field does not exist, or the function takes an argument ``law``, which is the law of the test.
    MissingExtraError
        Hypothesis or pytest is not installed; both come with the extra ``testing``.

    Examples
    --------
    >>> import cv2
    >>> from blursynth.testing import obeys
    >>> @obeys(dtype="uint8", border="replicate")
    ... def test_my_blur():
    ...     return lambda image: cv2.blur(image, (5, 3), borderType=cv2.BORDER_REPLICATE)
    """
    marks = require("pytest", extra="testing", purpose="A test for each law").mark
    if adapter is not None and not isinstance(adapter, Adapter):
        raise InvalidValueError(
            f"obeys takes an Adapter or its fields, got {adapter!r}.",
            field="adapter",
            value=adapter,
            fix='Write @obeys(), @obeys(Adapter(...)) or @obeys(dtype="uint8").',
        )
    known = _adapter(adapter, fields)
    chosen = _laws(laws)
    # Fixtures of tests that are skipped from the start are not set up.
    reasons = [None if known is None else _why_not(law, known) for law in chosen]

    def decorate(function: Test) -> Callable[..., None]:
        signature = inspect.signature(function)
        if "law" in signature.parameters:
            raise InvalidValueError(
                f"{function.__name__} takes an argument 'law', but that is what obeys calls the law of each test.",
                field="law",
                fix="Rename the argument.",
            )

        @functools.wraps(function)
        def test(*args: Any, law: Law, request: pytest.FixtureRequest, **rest: Any) -> None:
            if "request" in signature.parameters:
                rest["request"] = request
            blur, its_adapter = _of(function, function(*args, **rest), known)
            _hold(blur, its_adapter, law, profile, request)

        own = [one for one in signature.parameters.values() if one.name != "request"]
        added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("law", "request")]
        test.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]  # what pytest reads
        parameters = [
            _parameter(law, () if reason is None else (marks.skip(reason=reason),))
            for law, reason in zip(chosen, reasons, strict=True)
        ]
        return marks.parametrize("law", parameters)(test)  # type: ignore[no-any-return]

    return decorate


def _parameter(law: Law, marks: tuple[Any, ...]) -> Any:
    import pytest

    return pytest.param(law, id=law.name, marks=marks)


def _adapter(adapter: Adapter | None, fields: dict[str, Any]) -> Adapter | None:
    names = [field.name for field in dataclasses.fields(Adapter)]
    for name in fields:
        if name not in names:
            raise InvalidValueError(
                f"Adapter has no field {name!r}. {did_you_mean(name, names)}", field=name, value=fields[name]
            )
    if adapter is None and not fields:
        return None
    found = Adapter(**fields) if adapter is None else adapter.replace(**fields)
    from blursynth.testing.laws import find

    for name in found.exempt:
        find(name)
    return found


def _laws(laws: Iterable[Law | str] | None) -> list[Law]:
    from blursynth.testing.laws import ALL, find

    return [find(one) if isinstance(one, str) else one for one in (ALL if laws is None else laws)]


def _why_not(law: Law, adapter: Adapter) -> str | None:
    """Why a law is not held against a blur with this adapter."""
    left_out = law.left_out(adapter)
    if left_out is None:
        return None
    status, reason = left_out
    return f"{law.name} {'is exempt' if status == 'exempt' else 'does not apply'}: {reason}"


def _of(function: Test, returned: Any, known: Adapter | None) -> tuple[Callable[..., Any], Adapter]:
    if known is None and isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Adapter):
        blur, adapter = returned
    else:
        blur, adapter = returned, known or Adapter()
    if not callable(blur):
        raise InvalidValueError(
            f"{function.__name__} must return the blur under test, a function, got {blur!r}.",
            field="blur",
            value=blur,
            fix="Return the function itself, or a pair of it and its Adapter where obeys() has no arguments.",
        )
    return blur, adapter


def _hold(
    blur: Callable[..., Any], adapter: Adapter, law: Law, profile: str | Profile, request: pytest.FixtureRequest
) -> None:
    import pytest

    from blursynth.testing.report import row

    if (reason := _why_not(law, adapter)) is not None:
        pytest.skip(reason)
    # Where the plugin is not loaded there are no such options.
    profile = request.config.getoption("laws_profile", default=None) or profile
    power = bool(request.config.getoption("laws_power", default=False))
    result = law.examine(blur, adapter, profile=profile, power=power)
    if "<locals>" in result.blur:  # a function of the test, which says more by its own name
        result = dataclasses.replace(result, blur=request.node.originalname)
    request.node.user_properties.append(("law", row(result)))
    if result.status in ("violated", "failed"):
        pytest.fail("\n".join([printable(result, lines=True), *_beside(result, blur, adapter, request)]), pytrace=False)


def _beside(result: Result, blur: Callable[..., Any], adapter: Adapter, request: pytest.FixtureRequest) -> list[str]:
    """Lines that a result itself does not have: the place of an error, the path of the picture."""
    from blursynth.testing.picture import save_picture

    lines = [f"  raised in   {place}" for place in _places(result, blur, adapter)]
    name = re.sub(r"\W+", "-", request.node.nodeid).strip("-")
    path = save_picture(result, _folder(request) / f"{name[-150:]}.png")
    return lines if path is None else [*lines, f"  picture     {path}"]


def _folder(request: pytest.FixtureRequest) -> Path:
    """Where pictures go: what the option says, else pytest's cache, else its temporary folder."""
    config = request.config
    chosen = config.getoption("laws_pictures", default=None)
    if chosen is not None:
        return Path(config.invocation_params.dir, chosen)
    cache = getattr(config, "cache", None)
    if cache is not None:
        return Path(cache.mkdir("laws"))
    return Path(request.getfixturevalue("tmp_path_factory").mktemp("laws"))


_KIT = os.path.dirname(__file__) + os.sep


def _places(result: Result, blur: Callable[..., Any], adapter: Adapter) -> list[str]:
    """Where the blur raised its error: its own line, and the innermost one where that is another."""
    if result.status != "failed" or result.case is None:
        return []
    try:
        result.law.measure(Blur(blur, adapter), **result.case)
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_KIT)]
        found = [f"{frame.filename}:{frame.lineno}, {frame.name}: {frame.line}" for frame in frames]
        return found[:1] + found[1:][-1:]
    return []
