"""Tell from the process table whether the shipper outlives this program, and whether this process is a worker.

A container ends with its first process, and takes the shipper with it; so does a unit of systemd with its main process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_FIRST_NAMESPACE: Final = "pid:[4026531836]"
"""The system's own process namespace: the kernel's PROC_PID_INIT_INO, the same on every machine."""
_FORKED: Final = 0x40
"""The kernel's PF_FORKNOEXEC: the process was forked, and still runs its parent's program."""
_INITS: Final = frozenset({"systemd", "init", "openrc-init", "runit", "s6-svscan"})
"""First processes that run a whole system: they do not end with one program."""
_WRAPPERS: Final = frozenset({"tini", "docker-init", "podman-init", "dumb-init", "catatonit"})
"""First processes that end with the one program they start."""
_SHELLS: Final = frozenset({"sh", "ash", "bash", "busybox", "dash", "fish", "ksh", "zsh"})
_SHIPPER: Final = b"langchain_autotrace.ship"


class _Process(NamedTuple):
    """An entry of the process table."""

    pid: int
    name: str
    parent: int
    group: int
    terminal: int
    """Device number of its terminal; 0 without one."""
    flags: int


_Table = dict[int, _Process]


def is_worker() -> bool:
    """Return whether this process is one of several that a server or a pool starts, ends and replaces."""
    # Not imported here: whoever is a child of multiprocessing has it.
    module = sys.modules.get("multiprocessing.process")
    if module is not None and module.parent_process() is not None:
        return True
    own = _look(os.getpid())
    return own is not None and bool(own.flags & _FORKED)


def takes_all_along() -> bool:
    """Return whether every process that this program has started is killed when the program ends."""
    if os.getpid() == 1 or os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()):
        return True
    if sys.platform != "linux" or _is_first_namespace():
        return False
    return _ends_container(_table(), os.getpid(), is_worker=is_worker())


def _is_first_namespace() -> bool:
    with contextlib.suppress(OSError):
        return str((_PROC / "self/ns/pid").readlink()) == _FIRST_NAMESPACE
    return False


def _ends_container(table: _Table, pid: int, *, is_worker: bool) -> bool:
    """Return whether a container ends with the program that a process belongs to."""
    line = list(_line(table, pid))
    while len(line) > 1 and (is_worker or line[0].flags & _FORKED):
        line, is_worker = line[1:], False  # the program is the server, not its worker
    if not line or line[-1].pid != 1 or line[-1].name in _INITS:
        return False  # a command run in a container that another program keeps up
    above = line[1:]
    if any(_is_interactive(one, child) for child, one in itertools.pairwise(line)):
        return False
    if all(one.name in _WRAPPERS or one.name in _SHELLS for one in above):
        return True
    known = {one.pid for one in above}
    return all(one.pid in known or line[0] in _line(table, one.pid) or _is_shipper(one.pid) for one in table.values())


def _is_interactive(shell: _Process, child: _Process) -> bool:
    """Return whether a process is a shell that a person uses: it gives each command a process group of its own."""
    return shell.name in _SHELLS and bool(shell.terminal) and child.group != shell.group


def _line(table: _Table, pid: int) -> list[_Process]:
    """Return a process, its parent, and so on up to the first that has none in this namespace."""
    found: list[_Process] = []
    while (one := table.get(pid)) is not None and one not in found:
        found.append(one)
        pid = one.parent
    return found


def _is_shipper(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return _SHIPPER in (_PROC / str(pid) / "cmdline").read_bytes()
    return True  # it has just ended


def _table() -> _Table:
    with contextlib.suppress(OSError):
        pids = [int(path.name) for path in _PROC.iterdir() if path.name.isdecimal()]
        return {one.pid: one for one in map(_look, pids) if one is not None}
    return {}


def _look(pid: int) -> _Process | None:
    """Return the entry of a process; None when it is gone, or the system has no such table (proc(5))."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
        name, _, rest = text.partition("(")[2].rpartition(")")
        _, parent, group, _, terminal, _, flags = rest.split()[:7]
    except (OSError, ValueError):
        return None
    return _Process(pid, name, int(parent), int(group), int(terminal), int(flags))
