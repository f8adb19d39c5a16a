"""A PostgreSQL server of the tests' own: on loopback, in a temporary folder, with the programs that Debian installs."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_FOLDERS: Final = "/usr/lib/postgresql"
_OPTIONS: Final = "-c fsync=off -c listen_addresses=127.0.0.1 -c max_connections=40"
_FOLDERS_OF: Final[dict[int, Path]] = {}
"""Port -> folder of the servers that run."""


def programs() -> Path | None:
    """The folder of the newest installed server's programs; None when there is none."""
    found = sorted(Path(_FOLDERS).glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def server() -> Iterator[int]:
    """Start a server; gives its port."""
    folder = Path(tempfile.mkdtemp(prefix="autotrace-postgresql-"))
    try:
        _own(folder)
        _run("initdb", "-D", folder / "data", "-U", "me", "--auth=trust", "--no-sync", "--encoding=UTF8")
        port = _free_port()
        options = f"{_OPTIONS} -p {port} -c unix_socket_directories={folder}"
        _run("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        _FOLDERS_OF[port] = folder
        try:
            yield port
        finally:
            _run("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def crash(port: int) -> None:
    """Have a server lose what it is doing, as in a crash, and start again."""
    folder = _FOLDERS_OF[port]
    _run("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-m", "immediate", "restart")


def _own(folder: Path) -> None:
    if os.getuid() == 0:  # the server refuses to run as root
        user = _user()
        os.chown(folder, user.pw_uid, user.pw_gid)


def _user() -> pwd.struct_passwd:
    """The user that Debian's package has made for servers."""
    return pwd.getpwnam("postgres")


def _run(program: str, *arguments: str | Path) -> None:
    folder = programs()
    assert folder is not None
    options = {"user": _user().pw_uid, "group": _user().pw_gid} if os.getuid() == 0 else {}
    done = subprocess.run(
        [str(folder / program), *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        **options,  # type: ignore[call-overload] # user and group
    )
    assert done.returncode == 0, program


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
