"""What users import: every name is there, is documented, costs nothing before it is used, and is known to type checkers."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import blursynth
import deblur_models

PACKAGES = [blursynth] if importlib.util.find_spec("torch") is None else [blursynth, deblur_models]
NAMES = [(package, name) for package in PACKAGES for name in package.__all__]


@pytest.mark.parametrize(("package", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value))
def test_every_name_is_there_and_documented(package: ModuleType, name: str) -> None:
    """The reference is made of the docstrings, so each is the thing's own."""
    value: Any = getattr(package, name)
    assert value.__doc__, "an inherited one does not say what it is"
    if not isinstance(value, ModuleType):
        assert value.__name__ == name  # one name for one thing


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
class TestPackage:
    def test_dir_lists_all(self, package: ModuleType) -> None:
        assert set(package.__all__) <= set(dir(package))
        assert len(set(package.__all__)) == len(package.__all__)

    def test_star_import(self, package: ModuleType) -> None:
        space: dict[str, Any] = {}
        exec(f"from {package.__name__} import *", space)
        assert set(package.__all__) <= set(space)

    def test_type_checkers_see_the_same_names(self, package: ModuleType) -> None:
        """The imports under TYPE_CHECKING are those that are made when a name is used."""
        tree = ast.parse(Path(str(package.__file__)).read_text("utf-8"))
        checked = next(
            node for node in tree.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )  # fmt: skip
        seen = {}
        for statement in checked.body:
            assert isinstance(statement, ast.ImportFrom)
            for alias in statement.names:
                seen[alias.asname or alias.name] = (statement.module, alias.name)
        assert set(seen) == set(package.__all__)
        for name, (module, original) in seen.items():
            home = importlib.import_module(str(module))
            there = getattr(home, original, None) or importlib.import_module(f"{module}.{original}")
            assert getattr(package, name) is there

    def test_no_public_name_hides_a_module(self, package: ModuleType) -> None:
        """Importing a module of a package binds its name there, over a function or class of the same name."""
        folder = Path(str(package.__file__)).parent
        modules = {path.stem for path in folder.glob("*.py")} | {
            path.parent.name for path in folder.glob("*/__init__.py")
        }
        hidden = {
            name for name in package.__all__ if name in modules and not isinstance(getattr(package, name), ModuleType)
        }
        assert not hidden

    def test_a_misspelled_name_is_an_error(self, package: ModuleType) -> None:
        assert not hasattr(package, "no_such_name")
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'no_such_name'"):
            package.no_such_name  # noqa: B018


@pytest.mark.skipif(deblur_models not in PACKAGES, reason="needs torch")
@pytest.mark.parametrize(
    "module", ["", ".networks", ".restore.picture", ".restore.network_restorer", ".losses", ".metrics"]
)
def test_examples_in_docstrings_of_the_companion(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"deblur_models{module}"))
    assert found.attempted > 0 or module == ".losses"
    assert found.failed == 0
