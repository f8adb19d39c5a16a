"""``python -m langchain_autotrace.models.rebuild``: checks whether logged chains can be built again.

It runs in a process of its own: building a chain imports the program's modules, and the shipper never imports
LangChain. Standard input is a JSON array of :class:`ModelForm`, each with its hash; each answer is a line of JSON on
standard output, in the same order.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from langchain_autotrace.models.encode import Problem, content_of
from langchain_autotrace.models.revive import TRUSTED_PACKAGES, ChainLoadError, revive

_ALWAYS: Final = ("langchain_core", "pydantic")
_DUMMY: Final = "not-a-key"
_NO_MODEL: Final = "it does not call mlflow.models.set_model(chain)"


def main() -> int:
    """Check the chains on standard input, and write an answer for each to standard output."""
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
        ``reason``: why it cannot be loaded, or None. ``allow``: packages that loading has to allow.
        ``requirements``: the distributions that it needs, with versions, as pip takes them. ``python`` and
        ``langchain_core``: the versions of Python and langchain-core in this process.
    """
    sys.path += [folder for folder in form["search_path"] if folder not in sys.path]
    for name in form["secrets"]:
        os.environ.setdefault(name, _DUMMY)
    reason = _reason(form)
    packages = {*form["packages"], *(_imported(form["code"][1]) if form["code"] else ()), *_ALWAYS}
    return {
        "reason": reason,
        "allow": _allowed(form),
        "requirements": sorted(set(_requirements(packages))),
        "python": platform.python_version(),
        "langchain_core": importlib.metadata.version("langchain-core"),
    }


def _reason(form: dict[str, Any]) -> str | None:
    """Return why a chain cannot be loaded, or None."""
    if form["code"] is None and form["problems"]:
        return str(Problem(*form["problems"][0]))
    try:
        if form["code"] is not None:
            built, mismatch = (
                run_code(*form["code"]),
                f"{form['code'][0]} builds a different chain from the one that ran",
            )
        else:
            secrets = dict.fromkeys(form["secrets"], _DUMMY)
            built, mismatch = (
                revive(form["chain"], allow=_allowed(form), secrets=secrets),
                "the rebuilt chain differs from the one that ran",
            )
        found = content_of(built)
    except ChainLoadError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - the program's module may raise anything, and call sys.exit()
        return f"building it raised {type(error).__name__}: {error}"
    return None if found.hash == form["hash"] else mismatch


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
            msg = f"{name} is not a Python file"
            raise ChainLoadError(msg)
        module = importlib.util.module_from_spec(spec)
        before = sys.modules.get(path.stem)
        sys.modules[path.stem] = module
        try:
            spec.loader.exec_module(module)
        finally:
            if before is not None:
                sys.modules[path.stem] = before
    if not given:
        msg = f"{name}: {_NO_MODEL}"
        raise ChainLoadError(msg)
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
    for node in ast.walk(ast.parse(text)):
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
