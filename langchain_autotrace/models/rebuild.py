"""``python -m langchain_autotrace.models.rebuild``: checks whether logged chains can be built again.

It runs in a process of its own: building a chain imports the program's modules, and the shipper never imports
LangChain. Standard input is a JSON array of :class:`ModelForm`, each with its hash; each answer is a line of JSON on
standard output, in the same order.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from langchain_autotrace.models.closed import DUMMY, attempts, close_network
from langchain_autotrace.models.encode import content_of
from langchain_autotrace.models.reasons import Problem
from langchain_autotrace.models.revive import TRUSTED_PACKAGES, ChainLoadError, revive
from langchain_autotrace.redaction import scrub_text

_ALWAYS: Final = ("langchain_core", "pydantic")
_MAX_ERROR: Final = 1_000
_NO_MODEL: Final = "it does not call mlflow.models.set_model(chain)"
_GUARD: Final = 'put what runs the chain below `if __name__ == "__main__":`'
_copied: Final[dict[str, str]] = {}
"""Files of ``code_paths``, as text -> the folder that they were written to."""


def main() -> int:
    """Check the chains on standard input, and write an answer for each to standard output."""
    close_network()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the program's modules print must not mix with the answers
    for form in orjson.loads(sys.stdin.buffer.read()):
        answers.write(orjson.dumps(answer(form), option=orjson.OPT_APPEND_NEWLINE))
        answers.flush()
    return 0


def answer(form: dict[str, Any]) -> dict[str, Any]:
    """Build one chain, and return whether it can be loaded and what that requires.

    Args:
        form: the fields of a :class:`ModelForm`, and its ``hash``.

    Returns:
        ``reason``: why it cannot be loaded, or None. ``code``: name of the file that builds it; None for JSON.
        ``allow``: packages that loading has to allow. ``requirements``: the distributions that it needs, with
        versions, as pip takes them. ``python`` and ``langchain_core``: the versions of Python and langchain-core in
        this process.
    """
    sys.path += [folder for folder in form["search_path"] if folder not in sys.path]
    _copy_code(form["code_paths"])
    for name in form["secrets"]:
        os.environ.setdefault(name, DUMMY)
    reason, code = _checked(form)
    texts = [text for _, text in form["code_paths"]] + [text for name, text, _ in form["code"] or () if name == code]
    packages = {*form["packages"], *(name for text in texts for name in _imported(text)), *_ALWAYS}
    return {
        "reason": reason,
        "code": code,
        "allow": _allowed(form),
        "requirements": sorted(set(_requirements(packages))),
        "python": platform.python_version(),
        "langchain_core": importlib.metadata.version("langchain-core"),
    }


def _copy_code(files: list[list[str]]) -> None:
    """Write copied modules to a folder at the start of the search path, as in a model that is loaded elsewhere."""
    if not files:
        return
    key = str(files)
    if key not in _copied:
        _copied[key] = tempfile.mkdtemp(prefix="langchain-autotrace-")
        atexit.register(shutil.rmtree, _copied[key], ignore_errors=True)
        for name, text in files:
            path = Path(_copied[key], name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if _copied[key] not in sys.path:
        sys.path.insert(0, _copied[key])


def _checked(form: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return why a chain cannot be loaded, or None, and the name of the file that builds it, or None."""
    reasons: list[str] = []
    for name, text, refused in form["code"] or ():
        reason = refused or _reason(functools.partial(run_code, name, text), form["hash"])
        if reason is None:
            return None, name
        reasons.append(f"{name}: {reason}")
    if form["problems"]:
        reason = str(Problem(*form["problems"][0]))
    else:
        secrets = dict.fromkeys(form["secrets"], DUMMY)
        build = functools.partial(revive, form["chain"], allow=_allowed(form), secrets=secrets)
        reason = _reason(build, form["hash"])
    return (None if reason is None else "; ".join([*reasons, reason])), None


def _reason(build: Callable[[], Any], content_hash: str) -> str | None:
    """Return why building a chain does not give the one that ran; None if it does."""
    attempts.clear()
    try:
        found = content_of(build(), describes=False)
    except BaseException as error:  # noqa: BLE001 - the program's module may raise anything, and call sys.exit()
        if attempts.any is not None:
            return f"it opened a connection to {attempts.any} when it was imported; {_GUARD}"
        return str(error) if isinstance(error, ChainLoadError) else f"building it raised {_short(error)}"
    if attempts.in_main_thread is not None:
        return f"it opened a connection to {attempts.in_main_thread} when it was imported; {_GUARD}"
    return None if found.hash == content_hash else "it builds a different chain from the one that ran"


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {scrub_text(str(error))}"[:_MAX_ERROR]


def _allowed(form: dict[str, Any]) -> list[str]:
    return [package for package in form["packages"] if package not in TRUSTED_PACKAGES]


def run_code(name: str, text: str) -> Any:
    """Run a file that builds a chain, and return the chain that it passes to ``mlflow.models.set_model``.

    Args:
        name: the file's name.
        text: its text.

    Raises:
        ChainLoadError: the file passes no chain, or is not a Python file.
        Exception: whatever the file raises.
    """
    given: list[Any] = []
    with tempfile.TemporaryDirectory() as folder, _collecting_models(given):
        path = Path(folder, name)
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ChainLoadError("it is not a Python file")
        module = importlib.util.module_from_spec(spec)
        before = sys.modules.get(path.stem)
        sys.modules[path.stem] = module
        try:
            spec.loader.exec_module(module)
        finally:
            if before is not None:
                sys.modules[path.stem] = before
    if not given:
        raise ChainLoadError(_NO_MODEL)
    return given[-1]


@contextlib.contextmanager
def _collecting_models(given: list[Any]) -> Iterator[None]:
    """Append what is passed to ``mlflow.models.set_model`` to a list; MLflow's own function needs numpy."""
    import mlflow.models  # noqa: PLC0415 - a second of imports, only for models that are code

    modules: list[Any] = [mlflow.models, importlib.import_module("mlflow.models.model")]
    before = [module.set_model for module in modules]
    for module in modules:
        module.set_model = given.append
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            module.set_model = function


def _imported(text: str) -> set[str]:
    """Return the top-level modules that a program imports, without the standard library."""
    names: set[str] = set()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a file of data among modules
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names


def _requirements(packages: Iterable[str]) -> Iterator[str]:
    """Yield the distributions of packages as pip requirements, except mlflow, which the shipper adds."""
    for package in packages:
        names = [package.replace("_", "-")]
        try:
            importlib.metadata.version(names[0])
        except importlib.metadata.PackageNotFoundError:
            names = _distributions().get(package, [])
        for name in names:
            if not name.startswith("mlflow"):
                yield f"{name}=={importlib.metadata.version(name)}"


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return {package: sorted(set(names)) for package, names in importlib.metadata.packages_distributions().items()}


if __name__ == "__main__":
    sys.exit(main())
