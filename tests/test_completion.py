"""Completion in a real shell, as a person types."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.patience import wait_until
from tests.uncovered import unmeasured

README = (Path(__file__).parent.parent / "README.md").read_text()
LINES = re.findall(r"^eval .*bash_source.*$", README, re.MULTILINE)
BASH = shutil.which("bash")


def is_recent() -> bool:
    """Whether there is a bash that the command line's library knows: macOS has an older one."""
    script = "((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404))"
    return BASH is not None and subprocess.run([BASH, "-c", script]).returncode == 0


class Terminal:
    """A shell at a terminal."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._screen = ""
        os.set_blocking(handle, False)

    def type(self, keys: str, until: str) -> None:
        """Type keys, and wait until a pattern is on the screen below what was there before."""
        self._screen = ""
        os.write(self._handle, keys.encode())
        wait_until(lambda: re.search(until, self._read()) is not None)

    def _read(self) -> str:
        with suppress(BlockingIOError):
            self._screen += os.read(self._handle, 65536).decode()
        return self._screen


@contextmanager
def bash() -> Iterator[Terminal]:
    """Start an interactive bash with the environment's commands."""
    assert BASH
    ours, theirs = os.openpty()
    environment = unmeasured() | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PS1": "ready> ",
        "TERM": "dumb",
        "INPUTRC": os.devnull,
    }
    command = [BASH, "--norc", "--noprofile", "-i"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.skipif(not is_recent(), reason="there is no bash 4.4 or newer")
def test_tab_in_bash() -> None:
    """With the README's line, Tab completes commands, commands of groups, and options."""
    (line,) = LINES
    with bash() as terminal:
        terminal.type("", "ready> ")
        terminal.type(f"{line}\n", r"\nready> $")
        terminal.type("langchain-autotrace stat\t", "langchain-autotrace status $")
        terminal.type("--js\t", "--json $")
        terminal.type("\n", r"\[\]\s+ready> $")
        terminal.type("langchain-autotrace models s\t", "langchain-autotrace models show $")
