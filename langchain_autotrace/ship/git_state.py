"""Read the git state of the folder that a program ran in: commit, branch and address of the repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

_SECONDS: Final = 10.0
_OTHER_REPOSITORY: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
"""Environment variables by which git would look at another repository than the folder's."""


class GitState(NamedTuple):
    """What git says of a folder; each field is None when it says nothing."""

    commit: str | None
    branch: str | None
    """None when no branch is checked out."""
    repository: str | None
    """Address of the first remote, without user name and password."""


def git_state(folder: str) -> GitState:
    """Return the git state of a folder; all fields are None outside a repository, or where git is not installed."""
    if not _is_in_repository(Path(folder)):
        return GitState(None, None, None)
    is_ignored = _git(folder, "check-ignore", folder) is not None
    commit = None if is_ignored else _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return GitState(commit, _git(folder, "symbolic-ref", "--short", "--quiet", "HEAD"), _repository(folder))


def _is_in_repository(folder: Path) -> bool:
    """Return whether the folder or one above it has ``.git``: starting git to ask costs more."""
    try:
        return any((one / ".git").exists() for one in (folder, *folder.parents))
    except OSError:
        return False


def _repository(folder: str) -> str | None:
    names = _git(folder, "config", "--name-only", "--get-regexp", r"^remote\..+\.url$")
    if names is None:
        return None
    name = names.splitlines()[0].removeprefix("remote.").removesuffix(".url")
    url = _git(folder, "remote", "get-url", name)
    return None if url is None else _without_user(url)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _git(folder: str, *arguments: str) -> str | None:
    """Return what git prints; None when it fails or prints nothing."""
    environment = {key: value for key, value in os.environ.items() if key not in _OTHER_REPOSITORY}
    try:
        done = subprocess.run(  # noqa: S603 - git, with fixed arguments
            ["git", "-C", folder, *arguments],  # noqa: S607 - the user's git
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
