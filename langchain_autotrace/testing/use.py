"""Replays recorded answers outside pytest: ``with use_cassette("name"):``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from vcr import VCR

from langchain_autotrace.errors import NoRecording
from langchain_autotrace.testing.cassette import KitCassette, MissedRequest
from langchain_autotrace.testing.wiring import configure, kit

RecordMode = Literal["none", "once", "new_episodes", "all", "rewrite"]


@contextmanager
def use_cassette(
    name: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] = "cassettes",
    record_mode: RecordMode = "none",
    same_body: Callable[[Any, Any], object] | None = None,
    **options: Any,  # noqa: ANN401 - vcrpy's
) -> Iterator[KitCassette]:
    """Answer HTTP requests within the block from a recording, with the same defaults as marked tests have.

    Args:
        name: the cassette's file name; ``.yaml`` may be left out.
        folder: its folder, relative to the working folder.
        record_mode: ``none`` sends no request; ``rewrite`` and ``all`` record anew, ``once`` if there is no file,
            ``new_episodes`` what is missing. Where the variable ``CI`` is set, nothing is recorded.
        same_body: raises ``AssertionError`` if the bodies of two requests differ; in place of the comparison of
            their JSON.
        **options: further options of vcrpy's ``use_cassette``.

    Yields:
        The cassette, vcrpy's with the attributes of :class:`~langchain_autotrace.testing.cassette.KitCassette`.

    Raises:
        FileNotFoundError: there is no such cassette, and nothing may be recorded; the message names the existing ones.
        NoRecording: a request has no recorded answer. Raised at the end of the block, whatever came of it there.
        SecretsFound: what was recorded holds secrets; it was not written.
        CassetteError: the file is no cassette.
    """
    path = _path(name, Path(folder))
    if record_mode == "none" and not (path.is_file() or path.with_name(f"{path.name}.gz").is_file()):
        known = ", ".join(sorted(one.stem for one in path.parent.glob("*.yaml"))) or "none"
        msg = f"no cassette {path.stem!r} in {path.parent}; existing cassettes: {known}"
        raise FileNotFoundError(msg)
    vcr = VCR(record_mode="all" if record_mode == "rewrite" else record_mode)
    configure(vcr, kit())
    if same_body is not None:
        vcr.register_matcher("llm_body", same_body)
    with vcr.use_cassette(os.fspath(path), **options) as cassette:
        try:
            yield cassette
        except (Exception, MissedRequest) as error:
            cassette.failed = True
            if cassette.misses:
                raise NoRecording(cassette.misses[0]) from (error if isinstance(error, Exception) else None)
            raise
        if cassette.misses:
            raise NoRecording(cassette.misses[0])


def _path(name: str | os.PathLike[str], folder: Path) -> Path:
    path = folder / name
    return path if path.suffix in {".yaml", ".yml"} else path.with_name(f"{path.name}.yaml")
