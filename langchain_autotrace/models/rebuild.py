"""``python -m langchain_autotrace.models.rebuild``: says of chains whether what was written of them builds them again.

A process of its own, because building a chain imports the program's modules, and the shipper imports no LangChain.
Standard input is a JSON array of :class:`ModelForm`, each with its hash; each answer is a line of JSON on standard
output, in the same order.
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
    """Answer what standard input asks."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the program's modules print is no answer
    for asked in orjson.loads(sys.stdin.buffer.read()):
        answers.write(orjson.dumps(answer(asked), option=orjson.OPT_APPEND_NEWLINE))
        answers.flush()
    return 0


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """What is known of one chain after building it.

    Args:
        asked: a :class:`ModelForm`, and its ``hash``.

    Returns:
        ``reason``: why it cannot be loaded, else None. ``allow``: packages that loading has to allow.
        ``requirements``: what it needs, with versions. ``python``: the version of this Python. ``langchain_core``: that
        of LangChain.
    """
    sys.path += [folder for folder in asked["search_path"] if folder not in sys.path]
    for name in asked["secrets"]:
        os.environ.setdefault(name, _DUMMY)
    reason = _reason(asked)
    packages = {*asked["packages"], *(_imported(asked["code"][1]) if asked["code"] else ()), *_ALWAYS}
    return {
        "reason": reason,
        "allow": _allowed(asked),
        "requirements": sorted(set(_requirements(packages))),
        "python": platform.python_version(),
        "langchain_core": importlib.metadata.version("langchain-core"),
    }


def _reason(asked: dict[str, Any]) -> str | None:
    if asked["code"] is None and asked["problems"]:
        return str(Problem(*asked["problems"][0]))
    try:
        if asked["code"] is not None:
            built, how = run_code(*asked["code"]), f"{asked['code'][0]} builds another chain than the one that ran"
        else:
            secrets = dict.fromkeys(asked["secrets"], _DUMMY)
            built, how = revive(asked["chain"], allow=_allowed(asked), secrets=secrets), "building it gives another"
        found = content_of(built)
    except ChainLoadError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - the program's module may do anything, and exit
        return f"building it raised {type(error).__name__}: {error}"
    return None if found.hash == asked["hash"] else how


def _allowed(asked: dict[str, Any]) -> list[str]:
    return [package for package in asked["packages"] if package not in TRUSTED_PACKAGES]


def run_code(name: str, text: str) -> Any:
    """Run a file that builds a chain, and return what it gives to ``mlflow.models.set_model``.

    Args:
        name: the file's name.
        text: what is in it.

    Raises:
        ChainLoadError: it names no chain.
        Exception: whatever the file raises.
    """
    given: list[Any] = []
    with tempfile.TemporaryDirectory() as folder, _given_to(given):
        path = Path(folder, name)
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            msg = f"{name} is no Python file"
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
def _given_to(given: list[Any]) -> Iterator[None]:
    """Collect what is given to MLflow's function, which cannot work without numpy."""
    import mlflow.models  # noqa: PLC0415 - a second, for those who load code

    homes: list[Any] = [mlflow.models, importlib.import_module("mlflow.models.model")]
    before = [home.set_model for home in homes]
    for home in homes:
        home.set_model = given.append
    try:
        yield
    finally:
        for home, function in zip(homes, before, strict=True):
            home.set_model = function


def _imported(text: str) -> set[str]:
    """The first names of the modules that a program imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names


def _requirements(packages: Iterable[str]) -> Iterator[str]:
    """The distributions that packages are from, as pip takes them; mlflow is named by who writes the model."""
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
