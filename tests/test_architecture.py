"""The table of who may import whom, held by walking the syntax trees; and what no file may contain."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "blursynth"
FILES = sorted(PACKAGE.rglob("*.py"))

# Layer -> the layers that it may import, itself apart. Modules of one file are layers of their own.
ALLOWED = {
    "errors": set(),
    "records": {"errors"},
    "frame": {"errors"},
    # Point spreads are in the signature of what a kind says of itself.
    "core": {"frame", "records", "physics", "errors"},
    "physics": {"frame", "errors"},
    "backends": {"physics", "frame", "errors"},
    # Pictures are made smaller in linear light as they are read.
    "io": {"backends", "physics", "frame", "records", "errors"},
    "cameras": {"core", "physics", "io", "records", "errors"},
    "degradations": {"core", "backends", "physics", "io", "records", "frame", "errors"},
    # It draws records of sensors from profiles, and knows the kinds that ship where none are named.
    "recipe": {"cameras", "degradations", "core", "physics", "io", "records", "frame", "errors"},
    "dataset": {"recipe", "degradations", "core", "backends", "physics", "io", "records", "frame", "errors", "__init__"},
    # It decodes and encodes around what takes light.
    "transforms": {"recipe", "degradations", "core", "records", "frame", "errors"},
    "testing": {
        "recipe", "cameras", "degradations", "backends", "physics", "core", "io", "records", "frame", "errors", "__init__",
    },
}  # fmt: skip
# A recipe from photographs: it simulates data sets' pictures, reads sources as they do, and nothing else knows it.
ALLOWED["fit"] = {*ALLOWED["dataset"], "dataset"}
ALLOWED["__main__"] = {"cli"}
ALLOWED["cli"] = {*ALLOWED["testing"], "testing", "dataset", "fit"}

# Third-party packages that only some folders may import.
ONLY_IN = {
    "numba": ("backends/cpu",),
    "triton": ("backends/torch",),
    "torch": (
        "backends/torch",
        "transforms",  # modules of torch, where it is installed
        "dataset/samples.py",  # samples as tensors
        "testing",  # what other people's functions take
    ),
    "zarr": ("dataset",),
    "obstore": ("io/object_store.py",),
    "numcodecs": ("dataset",),
    "distributed": ("dataset",),
    "cv2": (
        "io",
        "dataset",
        "cli",  # files; thread count, versions
        "degradations/file/jpeg.py",  # its codec
    ),
    # Formats OpenCV lacks; pictures of Pillow as frames; lettering; WebP with the encoder's effort.
    "PIL": (
        "io",
        "frame.py",
        "cli",
        "dataset",
        "degradations/file/webp.py",
        "transforms",
        "testing",  # lettering; libjpeg
        "fit/report.py",  # crops inside a page
    ),
    "onnxruntime": ("io/onnx_session.py",),
    "OpenEXR": ("io",),
    "rawpy": ("io/hdr.py",),
    "pillow_heif": ("io/decoders.py",),
    "matplotlib": ("cli",),  # plots of calibrations, an extra
    "typer": ("cli",),
    "rich": ("cli",),
    "hypothesis": ("testing",),  # an extra
    "pytest": ("testing",),
}


# The same for the companion, which may import all of blursynth.
COMPANION = ROOT / "deblur_models"
COMPANION_FILES = sorted(COMPANION.rglob("*.py"))
COMPANION_ALLOWED: dict[str, set[str]] = {
    "device": set(),
    "data": set(),
    "networks": {"checkpoints"},
    "checkpoints": {"networks"},
    "metrics": {"restore", "checkpoints"},
    "classical": {"restore"},
    "losses": {"data", "metrics", "checkpoints"},  # what a batch is; SSIM is one function for both
    "config": {"data", "losses", "networks"},  # of data the record that draws augmentation
    "compress": {"networks"},
    "train": {"checkpoints", "config", "data", "device", "losses", "metrics", "networks"},
    "restore": {"checkpoints", "data", "networks"},  # of data the picture files that come back as they were
    "export": {"checkpoints", "data", "networks", "restore"},  # of data how codes become values
    "serve": {"data", "networks", "restore"},  # of networks the padding, for pictures of like size
    "evaluate": {"classical", "data", "metrics", "networks", "restore"},
    "study": {"data", "evaluate"},  # pictures by name; the report's form, and its pictures
}
COMPANION_ALLOWED["api"] = {*COMPANION_ALLOWED}
COMPANION_ALLOWED["cli"] = {*COMPANION_ALLOWED}
COMPANION_ALLOWED["__main__"] = {"cli"}
COMPANION_ONLY_IN = {
    "timm": ("networks/timm_backbones.py",),
    "torchvision": ("networks/timm_backbones.py",),
    "skimage": ("classical", "data/bundled.py", "metrics/niqe_parameters.py"),
    "safetensors": ("checkpoints",),
    "tensorboard": ("train/run_directory.py",),
    "cv2": (
        "data/picture_file.py",
        "metrics/registration.py",  # ECC, as in RealBlur's own script
        "export",  # its DNN
        "evaluate/detection/onnx_detector.py",  # resizing and suppression, as in the detectors' own scripts
    ),
    # PNG without metadata; lettering
    "PIL": ("data/picture_file.py", "evaluate", "study/make.py", "train/validation.py"),
    "typer": ("cli",),
    "rich": ("cli",),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "h11", "prometheus_client"), ("serve",)),
    "torchmetrics": (),  # what the tests hold the metrics against
    "pickle": (),
}


def layer(path: Path) -> str:
    relative = path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else COMPANION)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            if node.module in ("blursynth", "deblur_models"):
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", node.lineno
            else:
                yield node.module, node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    here = layer(path)
    if here == "__init__":
        return  # the package's front door shows everything
    assert here in ALLOWED, f"{path}: a new layer needs a line in the table"
    layers = {*ALLOWED, "__init__"}
    for module, line in imports(path):
        top, _, rest = module.partition(".")
        if top == "blursynth":
            there = rest.split(".")[0] if rest.split(".")[0] in layers else "__init__"
            assert there == here or there in ALLOWED[here], f"{path}:{line}: {here} must not import {there}"
        for package, places in ONLY_IN.items():
            if top == package:
                relative = str(path.relative_to(PACKAGE)).replace("\\", "/")
                assert relative.startswith(places), f"{path}:{line}: {package} belongs in {places}"


def test_only_tests_import_the_oracle() -> None:
    """Or it would check itself: what it shares with other backends is ``physics``."""
    oracle = PACKAGE / "backends" / "oracle"
    for path in (*FILES, *COMPANION_FILES):
        if not path.is_relative_to(oracle):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
                else:
                    continue
                assert not any(name.startswith("blursynth.backends.oracle") for name in names), f"{path}:{node.lineno}"
    shared = {"cpu", "torch", "borders", "checks"}
    for path in oracle.glob("*.py"):
        for module, line in imports(path):
            assert module.split(".")[2:3] not in [[name] for name in shared], f"{path}:{line}: code that it is to check"


@pytest.mark.parametrize("path", COMPANION_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_of_the_companion_follow_the_table(path: Path) -> None:
    here = layer(path)
    if here == "__init__":
        return
    assert here in COMPANION_ALLOWED, f"{path}: a new layer needs a line in the table"
    relative = str(path.relative_to(COMPANION)).replace("\\", "/")
    for module, line in imports(path):
        top, _, rest = module.partition(".")
        there = rest.split(".")[0]
        if top == "deblur_models":
            assert there == here or there in COMPANION_ALLOWED[here], f"{path}:{line}: {here} must not import {there}"
        if top in COMPANION_ONLY_IN:
            places = COMPANION_ONLY_IN[top]
            assert places, f"{path}:{line}: {top} has no place in the library"
            assert relative.startswith(places), f"{path}:{line}: {top} belongs in {places}"
        assert module != "blursynth.testing", f"{path}:{line}: testing is for tests"


@pytest.mark.parametrize("path", [*FILES, *COMPANION_FILES], ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unsafe_or_global(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"eval", "exec", "pickle.load", "pickle.loads"}, f"{path}:{node.lineno}: {name}"
            if layer(path) != "cli":
                assert name != "print", f"{path}:{node.lineno}: libraries log, only the command line prints"
            if function := re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", name):
                assert function[1] in {"Generator", "Philox", "default_rng"}, (
                    f"{path}:{node.lineno}: global random state"
                )
            if name in {"json.dump", "json.dumps"}:
                wanted = any(k.arg == "allow_nan" and ast.unparse(k.value) == "False" for k in node.keywords)
                assert wanted, f"{path}:{node.lineno}: NaN and Infinity are no JSON: allow_nan=False"
            for keyword in node.keywords:
                if keyword.arg in {"allow_pickle", "weights_only"} and isinstance(keyword.value, ast.Constant):
                    assert keyword.value.value is (keyword.arg == "weights_only"), f"{path}:{node.lineno}: unpickles"


@pytest.mark.parametrize(
    "path", [p for p in [*FILES, *COMPANION_FILES] if "cli" in p.parts], ids=lambda p: str(p.relative_to(ROOT))
)
def test_commands_write_by_one_function(path: Path) -> None:
    """Names of files may hold escape sequences, which only console.echo and console.table write out."""
    if path.name == "console.py":
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"typer.echo", "typer.secho", "print"}, f"{path}:{node.lineno}: {name}"


def test_the_light_package_never_imports_its_companion() -> None:
    for path in FILES:
        assert not any(module.startswith("deblur_models") for module, _ in imports(path)), path


def loaded_by(code: str) -> set[str]:
    code = f"{code}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"numba", "torch", "scipy", "zarr", "cv2", "typer", "rich", "PIL", "imageio", "pandas"}


def test_import_is_light() -> None:
    """``import blursynth`` loads nothing but itself: neither numpy nor pydantic, and no module of its own."""
    loaded = loaded_by("import blursynth")
    assert not {*HEAVY, "numpy", "pydantic"} & loaded
    assert not {module for module in loaded if module.startswith("blursynth.")}


@pytest.mark.parametrize(
    "code",
    [
        "bs.kinds.Defocus",
        "bs.load_recipe('mixed')",
        "bs.Recipe([('lens', bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.4, 2.0)))])",
        "bs.read_frame, bs.read_depth, bs.write_picture",
        "bs.load_sensor_profile",
        "bs.BlursynthError",
    ],
)
def test_what_is_used_is_light(code: str) -> None:
    """Recipes are made and drawn from without the libraries that pixels are computed and stored with."""
    assert not HEAVY & loaded_by(f"import blursynth as bs; {code}")


def test_names_load_what_they_need_alone() -> None:
    assert "numpy" not in loaded_by("import blursynth as bs; bs.BlursynthError")
    assert not {"blursynth.degradations", "blursynth.recipe"} & loaded_by("import blursynth as bs; bs.Frame")


def test_the_plugin_of_pytest_is_light() -> None:
    """It is imported whenever pytest runs where blursynth is installed."""
    loaded = loaded_by("import blursynth.testing.pytest_plugin")
    assert not {*HEAVY, "numpy", "pydantic", "hypothesis", "pytest"} & loaded


def test_the_companion_is_light() -> None:
    assert not {"torch", "numpy"} & loaded_by("import deblur_models")
