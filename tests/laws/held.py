"""Operations of the backends, held against the laws of the kit within a test of Hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st

from blursynth.testing import Adapter, laws
from blursynth.testing.adapter import Blur
from blursynth.testing.laws.law import Law, Result

# Of white, for weights of sum 1.
ACCURACY = {"float32": 2e-5, "float64": 1e-12}

OF_OPERATORS = (laws.linearity, laws.channels, laws.constants, laws.positivity, laws.value_range, laws.adjoint)


def operator(adjoint: Callable[..., Any], border: str, dtype: str) -> Adapter:
    """What an operation claims whose weights differ from place to place, and depend on the size of the picture."""
    return Adapter(
        layout="NCHW",
        dtype=dtype,
        channels=2,
        accuracy=ACCURACY[dtype],
        border=border,
        varies=True,
        adjoint=adjoint,
        exempt={"constants": "black comes in from beyond the edge"} if border == "constant" else {},
    )


def hold(
    data: st.DataObject, function: Callable[..., Any], adapter: Adapter, held: Iterable[Law] = OF_OPERATORS
) -> None:
    """Try a case of each law that applies."""
    blur = Blur(function, adapter)
    for law in held:
        if law.needs(adapter) is None and law.name not in adapter.exempt:
            case = data.draw(law.cases(blur), label=law.name)
            found = law.measure(blur, **case)
            assert found.kept, str(Result(law, blur.name, "violated", measurement=found, case=case))
