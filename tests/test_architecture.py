"""Which part knows which other, and what the package shows to the world."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, get_type_hints

import pytest
from hatchling.builders.wheel import WheelBuilder

import langchain_autotrace

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(langchain_autotrace.__file__).parent
NAME: Final = PACKAGE.name


class Rule(NamedTuple):
    """What a part may import besides the standard library and itself."""

    ours: frozenset[str]
    """Parts of this package."""
    others: frozenset[str]
    """Other packages."""


def rule(ours: str, others: str = "") -> Rule:
    """A rule from words."""
    return Rule(frozenset(ours.split()), frozenset(others.split()))


RULES: Final = {
    "errors": rule(""),
    "ids": rule(""),
    "records": rule(""),
    "semconv": rule(""),
    "version": rule(""),
    "redaction": rule("", "orjson pydantic_core"),
    "destination": rule("errors redaction"),
    "placeholders": rule("redaction"),
    "settings": rule("destination errors redaction", "pydantic"),
    "capture": rule("errors ids placeholders records redaction semconv settings", "langchain_core orjson pydantic"),
    "journal": rule("errors ids records", "filelock orjson platformdirs"),
    "trace": rule("ids records semconv", "genai_prices orjson"),  # a table of prices: data, and functions on it
    "ship": rule(
        "destination errors ids journal records redaction semconv settings trace",
        "filelock mlflow opentelemetry orjson psycopg2 requests sqlalchemy urllib3 yaml",
    ),
    "view": rule(
        "destination errors ids journal records redaction semconv settings ship trace version",
        "alembic filelock mlflow pandas requests rich sqlalchemy yaml",
    ),
    "bridge": rule(
        "capture destination errors ids records redaction semconv settings",
        "langchain_core mlflow opentelemetry orjson wrapt",
    ),
    "testing": rule(
        "capture control destination errors journal records redaction settings trace view",
        "click pytest pytest_recording urllib3 vcr yaml",
    ),
    "models": rule(
        "capture errors placeholders records redaction semconv settings trace", "langchain_core mlflow orjson pydantic"
    ),
}
"""What each part may import. A stage knows the stages before it by their records only, and none behind it; what is not
here (``autolog()`` and what it is made of, the command line, the demo) wires them together and may know all."""
STANDARD: Final = sys.stdlib_module_names | {"annotationlib"}
"""Python's own modules; the last one only from 3.14 on."""


class Import(NamedTuple):
    """Something that a module imports, at its top or in a function."""

    module: str
    """The importing module's file."""
    target: str
    """What it imports: a part of ours, or another package."""
    is_ours: bool


class Imports(ast.NodeVisitor):
    """Collects the dotted names that a module imports when it runs."""

    def __init__(self, package: str) -> None:
        """``package`` is the one that the module is in."""
        self.package = package
        self.names: list[str] = []

    def visit_If(self, node: ast.If) -> None:
        """Pass over what only type checkers see."""
        for child in node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [*node.body, *node.orelse]:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        """Note ``import a.b``."""
        self.names += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note ``from a import b``, where ``b`` may be a module."""
        above = self.package.split(".")[: None if node.level < 2 else 1 - node.level] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        self.names += [f"{base}.{alias.name}" for alias in node.names]

    def visit_Call(self, node: ast.Call) -> None:
        """Note ``import_module("a.b")``."""
        if ast.unparse(node.func).endswith("import_module") and node.args and isinstance(node.args[0], ast.Constant):
            self.names.append(str(node.args[0].value))
        self.generic_visit(node)


def imports_of(path: Path, package: Path) -> Iterator[Import]:
    """What the module in that file imports, the standard library apart."""
    inside = path.relative_to(package)
    visitor = Imports(".".join([package.name, *inside.parts[:-1]]))
    visitor.visit(ast.parse(path.read_text()))
    for name in visitor.names:
        top, _, rest = name.partition(".")
        if top == package.name:
            part = rest.partition(".")[0]
            is_module = (package / part).is_dir() or (package / f"{part}.py").exists()
            yield Import(str(inside), part if part and is_module else "__init__", is_ours=True)
        elif top not in STANDARD:
            yield Import(str(inside), top, is_ours=False)


def broken(package: Path) -> list[Import]:
    """The imports that point the wrong way."""
    return [
        one
        for part, allowed in RULES.items()
        for path in sorted([package / f"{part}.py", *(package / part).rglob("*.py")])
        if path.exists()
        for one in imports_of(path, package)
        if one.target not in ({*allowed.ours, part} if one.is_ours else allowed.others)
    ]


def test_imports_point_one_way() -> None:
    """No part imports what it must not know, neither at the top of a module nor in a function."""
    assert broken(PACKAGE) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import mlflow.tracing", "mlflow"),
        ("def f():\n    from mlflow import entities", "mlflow"),
        ("try:\n    import langgraph\nexcept ImportError:\n    pass", "langgraph"),
        ("import importlib\nimportlib.import_module('langchain.agents')", "langchain"),
        (f"from {NAME} import ship", "ship"),
        (f"from {NAME}.ship.sink import Sink", "ship"),
        (f"import {NAME}.view.text", "view"),
        (f"from {NAME} import autolog", "__init__"),
        ("from ..ship import sink", "ship"),
        ("from .. import ship", "ship"),
        ("from . import folder", None),
        (f"from {NAME}.journal import folder", None),
        (f"from {NAME} import records", None),
        ("import os.path, orjson", None),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mlflow", None),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mlflow\nelse:\n    import rich", "rich"),
    ],
)
def test_every_way_to_import_is_seen(tmp_path: Path, source: str, found: str | None) -> None:
    """Every way to import is seen, in the journal's place for example, and what only type checkers see is not."""
    package = tmp_path / NAME
    for part in ("journal", "ship", "view"):
        (package / part).mkdir(parents=True)
    (package / "records.py").touch()
    (package / "journal" / "module.py").write_text(source)

    assert [one.target for one in broken(package)] == ([found] if found else [])


def test_file_names() -> None:
    """No two files of different folders have one name: a name alone says which file is meant."""
    names = [path.name for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")]

    assert sorted(names) == sorted(set(names))


def test_the_wheel_is_pure(tmp_path: Path) -> None:
    """The wheel is for every platform, and holds nothing but Python, its type marker, recordings and the web pages."""
    built = next(iter(WheelBuilder(str(PACKAGE.parent)).build(directory=str(tmp_path), versions=["standard"])))

    assert built.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(built) as wheel:
        inside = {Path(name).suffix or Path(name).name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside <= {".py", "py.typed", ".typed", ".yaml", ".json", ".css", ".html", ".js", ".txt"}


def test_what_autolog_imports(tmp_path: Path) -> None:
    """A program that imports the package, traces, and asks for nothing pays for no import of MLflow or its database."""
    program = """
import sys
import langchain_autotrace
first = set(sys.modules)
langchain_autotrace.autolog(shipper="external", exit_timeout=0)
from langchain_core.runnables import RunnableLambda
assert RunnableLambda(lambda x: x + 1).invoke(1) == 2
heavy = {"genai_prices", "mlflow", "sqlalchemy", "alembic", "rich", "click", "vcr", "pandas", "numpy", "langgraph"}
print(sorted(heavy & first), sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "LANGCHAIN_AUTOTRACE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("[] []\n", 0), done.stderr
    assert len(list((tmp_path / "home").glob("*/*.jsonl"))) == 1


def test_public_names() -> None:
    """What is public is listed in order, and is there."""
    names = langchain_autotrace.__all__

    assert list(names) == sorted(names)
    assert [name for name in names if getattr(langchain_autotrace, name, None) is None] == []
    assert (PACKAGE / "py.typed").exists()


def functions() -> Iterator[tuple[str, object]]:
    """The public functions and methods."""
    for name in langchain_autotrace.__all__:
        public = getattr(langchain_autotrace, name)
        if inspect.isclass(public):
            own = {key: value for key, value in vars(public).items() if not key.startswith("_")}
            yield from ((f"{name}.{key}", value) for key, value in own.items() if inspect.isfunction(value))
        elif inspect.isfunction(public):
            yield name, public


@pytest.mark.parametrize("name", [name for name in langchain_autotrace.__all__ if not name.startswith("__")])
def test_a_public_name_is_documented(name: str) -> None:
    """A public name says what it is, and names its arguments."""
    public = getattr(langchain_autotrace, name)
    text = inspect.getdoc(public) or ""

    assert text.splitlines()[0].strip().endswith(".")
    if inspect.isfunction(public) and inspect.signature(public).parameters:
        missing = [one for one in inspect.signature(public).parameters if f"{one}:" not in text]
        assert "Args:" in text
        assert missing == []


@pytest.mark.parametrize(("name", "function"), list(functions()))
def test_a_public_function_is_typed(name: str, function: object) -> None:
    """A public function says the types of its arguments and of what it returns."""
    signature = inspect.signature(function)  # type: ignore[arg-type] # functions, seen as objects

    untyped = [
        one.name
        for one in signature.parameters.values()
        if one.annotation is inspect.Parameter.empty and one.name != "self"
    ]
    assert untyped == [], name
    assert signature.return_annotation is not inspect.Signature.empty
    assert get_type_hints(function)
