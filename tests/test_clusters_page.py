"""The scripts of docs/clusters.md: their options exist, and they run here with small numbers and what a site would offer replaced."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import blursynth as bs
from blursynth.cli.app import app

BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```", (Path(__file__).resolve().parents[1] / "docs/clusters.md").read_text("utf-8"), re.M | re.S
)
SHELL = [text for language, text in BLOCKS if language == "sh"]
PYTHON = {
    next(w for w in ("SLURM", "Kube", "ray", "Client") if w in text): text for lang, text in BLOCKS if lang == "python"
}
(JOB,) = [text for language, text in BLOCKS if language == "yaml"]
(ARRAY,) = [text for text in SHELL if text.startswith("#!")]
(SUBMIT,) = [text for text in SHELL if "sbatch" in text]
SHARDS = 4

SMALLER = {"1000000": "8", "1_000_000": "8", "--size 256": "--size 64", "size_px=256": "size_px=64", "* 32": "* 2",
           "+ 32": "+ 2", "--shard-length 1000": "--shard-length 2", "seed=7)": "seed=7, shard_length=2)"}  # fmt: skip


def smaller(text: str, folder: Path) -> str:
    """The same with few samples, in a folder instead of the shared one."""
    for large, small in {**SMALLER, "/shared": str(folder)}.items():
        text = text.replace(large, small)
    return text


def commands() -> list[str]:
    """All command lines of ours in the shell of the page."""
    whole = "\n".join((*SHELL, JOB)).replace("\\\n", " ")
    return re.findall(r"blursynth (?:generate|resume) [^\"\n]*", whole)


def test_all_ways_are_there() -> None:
    assert set(PYTHON) == {"Client", "SLURM", "Kube", "ray"}
    assert len(commands()) == 5


@pytest.mark.parametrize("line", commands())
def test_options_exist(line: str) -> None:
    line = re.sub(r"\$\(\(.*?\)\)|\$\w+", "1", line)  # values of variables
    name, *words = shlex.split(line.removeprefix("blursynth "))
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, words)  # refuses what it does not know
    assert context.params["out" if name == "resume" else "sources"]


@pytest.mark.parametrize("name", list(PYTHON))
def test_python_is_valid(name: str) -> None:
    compile(PYTHON[name], name, "exec")


@pytest.mark.skipif(os.name != "posix", reason="bash")
@pytest.mark.parametrize("text", SHELL)
def test_shell_is_valid(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with photographs, and programs in bin/."""
    import numpy as np

    for number in range(2):
        pixels = np.random.default_rng(number).uniform(size=(3, 420, 410 + number))
        bs.write_picture(tmp_path / "photos" / f"{number}.png", pixels)
    program(tmp_path / "bin/blursynth", f'exec {shlex.quote(sys.executable)} -m blursynth "$@"')
    return tmp_path


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\nset -e\n{text}\n")
    path.chmod(0o755)


def undisturbed(site: Path) -> dict[str, str]:
    request = bs.DatasetRequest(sources=[site / "photos"], count=8, size_px=64, seed=7, shard_length=2)
    return bs.generate(request, site / "undisturbed", workers=1).digest


def bash(script: str, site: Path, **variables: str) -> None:
    environment = {**os.environ, "PATH": f"{site / 'bin'}:{os.environ['PATH']}", **variables}
    done = subprocess.run(["bash", "-ec", script], cwd=site, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="bash")
def test_job_array(site: Path) -> None:
    """``sbatch`` runs the jobs of an array at the same time; the job that depends on it runs after them."""
    (site / "array.sh").write_text(smaller(ARRAY, site))
    jobs = range(SHARDS // 2)
    assert int(re.search(r"--array=0-(\d+)", ARRAY)[1]) == -(-1000 // 32) - 1  # type: ignore[index]
    array = " ".join(f"SLURM_ARRAY_TASK_ID={job} SLURM_CPUS_PER_TASK=1 bash $2 >&2 &" for job in jobs)
    program(
        site / "bin/sbatch",
        f'if [ "$1" = --parsable ]; then {array} wait; echo 123; else [ "$1" = --dependency=afterany:123 ]; bash -c "${{@: -1}}"; fi',
    )
    bash(smaller(SUBMIT, site), site)
    assert bs.open_dataset(site / "pairs").digest == undisturbed(site)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sh")
def test_indexed_job(site: Path) -> None:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load(JOB)["spec"]
    assert job["completions"] == 1000  # shards, as the array has
    (container,) = job["template"]["spec"]["containers"]
    bash(smaller(SUBMIT.splitlines()[0], site), site)
    for index in reversed(range(SHARDS)):
        words = [*container["command"], smaller(container["args"][0], site)]
        bash(
            shlex.join(words),
            site,
            JOB_COMPLETION_INDEX=str(index),
            **{e["name"]: e["value"] for e in container["env"]},
        )
    assert bs.open_dataset(site / "pairs").digest == undisturbed(site)


DASK = """
from dask.utils import parse_timedelta
from distributed import LocalCluster
class Cluster(LocalCluster):
    def __init__(self, **options):
        assert {expected!r} <= set(options), options
        words = options.get("worker_extra_args", [])
        for option, value in zip(words[::2], words[1::2]):
            assert option in ("--lifetime", "--lifetime-stagger")
            parse_timedelta(value)  # as the worker does
        super().__init__(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    def adapt(self, *, minimum_jobs, maximum_jobs): assert 0 < minimum_jobs  # or it would wait for tasks
"""
SITES = {
    "SLURM": {
        "dask_jobqueue": DASK.format(expected={"cores", "processes", "memory", "walltime"}) + "SLURMCluster = Cluster"
    },
    "Kube": {
        "dask_kubernetes": "",
        "dask_kubernetes.operator": DASK.format(expected={"custom_cluster_spec"})
        + "KubeCluster = Cluster\n"
        + "def make_cluster_spec(**options): return {'spec': {'worker': {'spec': {'containers': [{}]}}}}",
    },
    "ray": {
        "ray": """
ObjectRef = int
class Function:
    def __init__(self, function): self.function = function
    def options(self, *, name): return self
    def remote(self, *words): return self.function(*words)
def remote(**options): return Function
def init(*, runtime_env): pass
def wait(running): return running[:1], running[1:]
def get(ready): assert ready == [(int(one[0]),) for one in ready]
"""
    },
}
"""What stands for the libraries of a site where they are not installed, as it was tried with them (see the page)."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SITES))
def test_python_makes_the_data_set(name: str, site: Path) -> None:
    pytest.importorskip("distributed")
    parts: dict[str, Any] = SITES[name]
    for module, text in parts.items():
        package = any(other.startswith(f"{module}.") for other in parts)
        path = (
            site / "lib" / module.replace(".", "/") / "__init__.py"
            if package
            else site / "lib" / f"{module.replace('.', '/')}.py"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (site / "page.py").write_text(smaller(PYTHON[name], site).replace("AHEAD = 1000", "AHEAD = 2"))
    path = os.pathsep.join((str(site / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])))
    bash(f"{shlex.quote(sys.executable)} page.py", site, PYTHONPATH=path)
    assert bs.open_dataset(site / "pairs").digest == undisturbed(site)
