"""Cores granted by control groups, in the forms that the kernel's documentation gives them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blursynth.backends import cores


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        # docs.kernel.org/admin-guide/cgroup-v2.html: cpu.max is "$MAX $PERIOD", the default "max 100000"
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),  # a part of a core is worth a worker
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),  # of a group around it
        ("0::/gone\n", {"cpu.max": "400000 100000\n"}, 4),  # a container that sees the path of its host
        # docs.kernel.org/scheduler/sched-bwc.html: cpu.cfs_quota_us, -1 for none, and cpu.cfs_period_us
        (
            "4:cpu,cpuacct:/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "50000\n"},
            5,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ("9:cpuset:/\n4:cpu:/x\n0::/\n", {"cpu/x/cpu.cfs_quota_us": "700000", "cpu/x/cpu.cfs_period_us": "100000"}, 7),
        ("1:name=systemd:/\n0::/s\n", {"unified/s/cpu.max": "600000 100000"}, 6),
        ("0::/\n", {"cpu.max": "a b c\n"}, 64),
        ("", {}, 64),
    ],
)
def test_limits_of_control_groups(
    own: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(cores, "_OWN", tmp_path / "own")
    monkeypatch.setattr(cores, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert cores.available_cores() == expected


def test_affinity_may_be_the_smaller_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text("800000 100000")
    monkeypatch.setattr(cores, "_OWN", tmp_path / "own")
    monkeypatch.setattr(cores, "_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert cores.available_cores() == 2


def test_without_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_OWN", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.available_cores() == 1
