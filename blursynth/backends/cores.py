"""How many cores and how much memory this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["available_cores", "memory_bytes"]

_OWN = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_CONTAINER_MEMORY = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available_cores() -> int:
    """Cores that this process may use: those that it may run on, or fewer where a container or a job has a limit.

    Python's own counts know the machine and the affinity mask, but not the share of time that a control group grants
    (``docker run --cpus=2``, limits of Kubernetes): on a machine of 64 cores 64 workers would take turns on 2. A limit
    of 1.5 cores counts as 2.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not available on every system
        cores = os.cpu_count() or 1
    granted = _granted()
    return cores if granted is None else max(1, min(cores, math.ceil(granted)))


def memory_bytes() -> int | None:
    """Memory of this machine, or less where its container has a limit; None where it is not known."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not available on every system
        return None
    for place in _CONTAINER_MEMORY:
        try:
            memory = min(memory, int(Path(place).read_text()))
        except (OSError, ValueError):  # not in a container of this kind, or "max" (no limit)
            continue
    return memory


def _granted() -> float | None:
    """Cores whose time the control groups of this process grant; None without a limit."""
    try:
        lines = _OWN.read_text().splitlines()
    except (OSError, UnicodeDecodeError):  # no Linux
        return None
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, own = rest.partition(":")
        if not controllers:  # version 2, alone or beside version 1
            for root in (_GROUPS, _GROUPS / "unified"):
                found += [_share(group / "cpu.max") for group in _up(root, own)]
        elif "cpu" in controllers.split(","):
            for root in (_GROUPS / controllers, _GROUPS / "cpu"):
                found += [_share(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us") for group in _up(root, own)]
    return min((share for share in found if share is not None), default=None)


def _up(root: Path, own: str) -> list[Path]:
    """The process's group and its parents, each of which may have a limit.

    Inside a container its own group may be mounted as the root, under which the path that it sees is not there.
    """
    group = root / own.strip("/")
    return [group, *(parent for parent in group.parents if parent.is_relative_to(root))]


def _share(*files: Path) -> float | None:
    """Quota over period, both in microseconds; None where there is no limit ("max" or -1)."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        cores = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None
