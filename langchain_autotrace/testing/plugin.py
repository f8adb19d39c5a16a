"""pytest plugin: safe defaults for every ``@pytest.mark.vcr`` test, and the fixture ``traces``.

It is imported at the start of every pytest run of whoever has it installed, so it imports pytest and nothing else:
vcrpy, yaml and LangChain come with the first test that uses them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from langchain_autotrace.testing.memory import CapturedTraces

_RECORDING: Final = frozenset({"all", "rewrite", "new_episodes"})
_VOLATILE: Final = ["user", "metadata", "safety_identifier", "prompt_cache_key"]
_LENGTH: Final = 200
_shared: Final = pytest.StashKey[str]()
"""On a test whose cassette is another test's too: the message."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; the record mode is pytest-recording's."""
    group = parser.getgroup("recording")
    group.addoption(
        "--unused-recordings",
        choices=("ignore", "error"),
        default="ignore",
        help="Fail a test that passes although its cassette has recordings that were not asked for.",
    )
    group.addoption(
        "--trace-html",
        metavar="DIR",
        help="Write a page for the browser with the traces of each test that uses the fixture traces.",
    )
    parser.addini(
        "cassette_keep_headers", "Further headers to keep in a cassette (regular expressions).", type="linelist"
    )
    parser.addini("cassette_allow", "Texts that look like secrets and are none (regular expressions).", type="linelist")
    parser.addini(
        "cassette_volatile_fields",
        "Top-level fields of a JSON body that matching leaves out.",
        type="linelist",
        default=_VOLATILE,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to record in CI, before pytest-recording's ``rewrite`` deletes a file."""
    mode = config.getoption("--record-mode", default=None)
    if mode in _RECORDING and os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        msg = f"--record-mode={mode} is refused where the variable CI is set: record on your machine, review, commit."
        raise pytest.UsageError(msg)
    if mode == "rewrite":  # it deletes the file first, and loses it when the test fails; "all" replaces it at the end
        config.option.record_mode = "all"
    if folder := config.getoption("--trace-html"):
        # Absolute, as xdist's processes have another working folder.
        config.option.trace_html = path = os.fspath(config.invocation_params.dir / folder)
        try:
            os.makedirs(path, exist_ok=True)  # noqa: PTH103 - pathlib would be imported for this alone
        except OSError as error:
            msg = f"--trace-html={folder}: {error}"
            raise pytest.UsageError(msg) from None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Find tests that would share a cassette."""
    by_path: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("vcr") is not None and (path := _default_path(item)):
            by_path[path].append(item)
    for path, sharing in by_path.items():
        if len(sharing) > 1:
            names = "\n".join(f"  {item.nodeid}" for item in sharing)
            for item in sharing:
                item.stash[_shared] = (
                    f"{len(sharing)} tests have the cassette {path}:\n{names}\n"
                    "Rename one, or name its cassette with @pytest.mark.default_cassette."
                )


def _default_path(item: pytest.Item) -> str | None:
    """Return the path that pytest-recording makes of a test's name; None where the user has named it."""
    if item.get_closest_marker("default_cassette") is not None:
        return None
    for fixture in ("default_cassette_name", "vcr_cassette_dir"):
        known = item.session._fixturemanager.getfixturedefs(fixture, item)  # noqa: SLF001 - there is no other way
        if not known or known[-1].func.__module__ != "pytest_recording.plugin":
            return None
    from pytest_recording.plugin import get_default_cassette_name  # noqa: PLC0415 - imported by now

    name = get_default_cassette_name(getattr(item, "cls", None), item.name)
    return os.path.relpath(item.path.parent / "cassettes" / item.path.stem / f"{name}.yaml")


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:  # noqa: ANN401 - vcrpy's
    """Set the kit's defaults; the user's ``vcr_config``, marks and own hook come later, and win."""
    from langchain_autotrace.testing import wiring  # noqa: PLC0415 - imports vcrpy

    parts = wiring.kit(
        keep_headers=config.getini("cassette_keep_headers"),
        volatile=config.getini("cassette_volatile_fields"),
        allowed=config.getini("cassette_allow"),
    )
    wiring.configure(vcr, parts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose cassette is another test's too; report a miss of a fixture as it is."""
    if _shared in item.stash:
        pytest.fail(item.stash[_shared], pytrace=False)
    return (yield from _reporting_misses(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Report a miss as it is, whatever the program made of it; fail on unused recordings if that is asked for."""
    result = yield from _reporting_misses(item)
    cassette = _cassette(item)
    if cassette is not None and item.config.getoption("--unused-recordings") == "error":
        unused = cassette.unused() if not cassette.recorded else []
        if unused:
            lines = "\n".join(f"  {line}" for line in unused)
            pytest.fail(f"{len(unused)} recordings were not asked for:\n{lines}", pytrace=False)
    return result


def _reporting_misses(item: pytest.Item) -> Generator[None, object, object]:
    result, error = None, None
    try:
        result = yield
    except (KeyboardInterrupt, SystemExit, pytest.exit.Exception):
        raise
    except BaseException as raised:
        if not _misses(item):
            raise
        error = raised
    if misses := _misses(item):
        shown = "" if error is None else f"{type(error).__name__}: {error}"
        made = "" if error is None or misses[0] in shown else f"\n\n(The program made of it: {shown[:_LENGTH]})"
        went_on = "The program went on after this:\n\n" if error is None else ""
        pytest.fail(f"{went_on}{misses[0]}{made}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the cassette of a test that did not pass; show the traces of one that failed, and write them as a page."""
    report = yield
    if call.when == "teardown":
        return report
    page = _write_page(item) if call.when == "call" or report.failed else ""
    if report.passed:
        return report
    cassette = _cassette(item)
    if cassette is not None:
        cassette.failed = True
        if cassette.recorded:
            report.sections.append(("cassette", "not written: the test did not pass; the file is as it was"))
    if report.failed and (shown := _trees(item)):
        report.sections.append(("traces", f"{shown}\n\n{page}" if page else shown))
    return report


def _cassette(item: pytest.Item) -> Any:  # noqa: ANN401 - a KitCassette
    """Return the test's cassette; None if it has none, or one that is not the kit's."""
    found = getattr(item, "funcargs", {}).get("vcr")
    return found if hasattr(found, "misses") else None


def _misses(item: pytest.Item) -> list[str]:
    cassette = _cassette(item)
    return [] if cassette is None else list(cassette.misses)


def _traces(item: pytest.Item) -> CapturedTraces | None:
    found = getattr(item, "funcargs", {}).get("traces")
    return found if hasattr(found, "to_html") else None


def _trees(item: pytest.Item) -> str:
    found = _traces(item)
    return "" if found is None else found.tree()


def _write_page(item: pytest.Item) -> str:
    """Write the page of a test's traces if that is asked for; return the line of the report that says so."""
    folder, found = item.config.getoption("--trace-html"), _traces(item)
    if not folder or not found:
        return ""
    path = os.path.join(folder, _page_name(item.nodeid))  # noqa: PTH118 - as above
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 - as above
            file.write(found.to_html())
    except OSError as error:
        return f"The page was not written: {error}"
    return f"page: {path}"


def _page_name(nodeid: str) -> str:
    """Return the file name of a test's page: readable, and another one for each test."""
    import hashlib  # noqa: PLC0415 - only needed here
    import re  # noqa: PLC0415 - only needed here

    plain = nodeid.replace("/", ".").replace(".py::", ".").replace("::", ".")
    safe = re.sub(r"[^\w.-]+", "_", plain)[:_LENGTH]
    digest = hashlib.blake2b(nodeid.encode(), digest_size=4).hexdigest()
    return f"{safe}.html" if safe == plain else f"{safe}-{digest}.html"


@pytest.fixture
def traces() -> Iterator[CapturedTraces]:
    """The traces that have finished during the test, in memory."""
    from langchain_autotrace.testing.memory import capture_traces  # noqa: PLC0415 - imports LangChain

    with capture_traces() as captured:
        yield captured
