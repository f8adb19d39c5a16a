"""Signatures without numpy are those of MLflow, which needs it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_autotrace.models.signature import UndeterminedError, schema, signature
from tests.patience import PATIENCE

STRING = {"type": "string", "required": True}
ANY = {"type": "any"}


def thing(required: bool = True, **properties: Any) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as MLflow writes it
    """The type of a dict within a value."""
    return {
        "type": "object",
        "properties": {name: {"type": kind, "required": required} for name, kind in properties.items()},
    }


TYPES: list[tuple[Any, list[dict[str, Any]]]] = [
    ("text", [STRING]),
    ("", [STRING]),
    (True, [{"type": "boolean", "required": True}]),
    (1, [{"type": "long", "required": True}]),
    (1.0, [{"type": "double", "required": True}]),
    (None, [{**ANY, "required": True}]),
    ([], [STRING]),
    (["a", "b"], [STRING]),
    ([None], [{**ANY, "required": True}]),
    (["a", None], [STRING]),
    ([["a"], []], [{"type": "array", "items": {"type": "string"}, "required": True}]),
    ([[[1]], [[]]], [{"type": "array", "items": {"type": "array", "items": {"type": "long"}}, "required": True}]),
    ({"q": "a"}, [{"type": "string", "name": "q", "required": True}]),
    ({"b": 1, "a": 2}, [{"type": "long", "name": name, "required": True} for name in ("b", "a")]),
    ({"q": None}, [{**ANY, "name": "q", "required": False}]),
    ({"q": []}, [{**ANY, "name": "q", "required": True}]),
    ({"q": {}}, [{**ANY, "name": "q", "required": True}]),
    ({"q": ["a"]}, [{"type": "array", "items": {"type": "string"}, "name": "q", "required": True}]),
    ({"q": ["a", None]}, [{"type": "array", "items": {"type": "string"}, "name": "q", "required": False}]),
    ({"q": {"b": 1, "a": "x"}}, [{**thing(a="string", b="long"), "name": "q", "required": True}]),
    ({"": "a"}, [{"type": "string", "name": "", "required": True}]),
    (
        {"q": [{"a": 1}, {"b": 1}]},
        [{"type": "array", "items": thing(required=False, a="long", b="long"), "name": "q", "required": True}],
    ),
    (
        {"q": [{"a": 1}, None]},
        [{"type": "array", "items": thing(required=False, a="long"), "name": "q", "required": False}],
    ),
    (
        {"q": [{"a": 1}, {}]},
        [{"type": "array", "items": thing(required=False, a="long"), "name": "q", "required": True}],
    ),
    ([{"a": 1}, {"a": 2}], [{"type": "long", "name": "a", "required": True}]),
    ([{"a": 1}, {"a": None}], [{"type": "long", "name": "a", "required": False}]),
    (
        [{"a": 1}, {"b": "x"}],
        [{"type": "long", "name": "a", "required": False}, {"type": "string", "name": "b", "required": False}],
    ),
    (
        {"messages": [{"role": "user", "content": "Hi"}]},
        [
            {
                "type": "array",
                "items": thing(content="string", role="string"),
                "name": "messages",
                "required": True,
            }
        ],
    ),
]


@pytest.mark.parametrize(("value", "columns"), TYPES)
def test_types(value: object, columns: list[dict[str, Any]]) -> None:
    """Values of every kind have the columns that MLflow finds."""
    assert schema(value) == columns


@pytest.mark.parametrize(
    "value",
    [
        {},
        [{}],
        [{}, {}],
        [1, "a"],
        [1, 1.0],
        [True, 1],
        [["a"], "a"],
        [{"a": 1}, "a"],
        {"q": [1, "a"]},
        {"q": [{"a": 1}, {"a": "x"}]},
        {"q": {"r": [[1], ["a"]]}},
        [{"a": 1}, {"a": "x"}],
        object(),
        {"q": b"a"},
        {"q": [{1, 2}]},
    ],
)
def test_no_type(value: object) -> None:
    """What holds values of different types at one place, or nothing at all, has no type."""
    with pytest.raises(UndeterminedError):
        schema(value)


def test_signature() -> None:
    """A signature is the columns of input and output as JSON, as an MLmodel file holds them."""
    found = signature({"topic": "cats"}, "Meow")
    assert found == {
        "inputs": '[{"type":"string","name":"topic","required":true}]',
        "outputs": '[{"type":"string","required":true}]',
        "params": None,
    }


def test_signature_of_odd_values() -> None:
    """Without a type of the input there is no signature; an output without one is of any type."""
    assert signature({}, "Meow") is None
    assert signature([1, "a"], "Meow") is None
    assert signature("a", {}) == {
        "inputs": '[{"type":"string","required":true}]',
        "outputs": '[{"type":"any","required":true}]',
        "params": None,
    }


def values(source: random.Random, depth: int = 0) -> Any:
    """A value of JSON; the same ones for the same seed."""
    kind = source.randrange(5 if depth > 3 else 9)
    if kind == 0:
        return None
    if kind <= 4:
        return source.choice(["a", "", 1, 0, -5, 1.5, 2.0, True, False])
    size = source.choice([0, 1, 1, 2, 3])
    if kind == 5:
        one = values(source, depth + 1)
        return [one for _ in range(size)]
    if kind == 6:
        return [values(source, depth + 1) for _ in range(size)]
    if kind == 7:
        one = {name: values(source, depth + 1) for name in "ab"}
        changed = [{**one, source.choice("abc"): values(source, depth + 2)} for _ in range(size)]
        return [{name: row[name] for name in row if source.random() < 0.9} for row in changed]
    return {source.choice("abcde"): values(source, depth + 1) for _ in range(size)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(value=json_values)
def test_any_value(value: object) -> None:
    """Any JSON has columns or no type, the same ones for rows in twice, and never another error."""
    try:
        found = schema(value)
    except UndeterminedError:
        return
    assert json.loads(json.dumps(found)) == found
    assert all(isinstance(column["required"], bool) and column["type"] for column in found)
    if isinstance(value, list):
        assert schema(value + value) == found


PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
from mlflow.types.utils import _infer_schema
for line in sys.stdin:
    try:
        print(json.dumps(_infer_schema(json.loads(line)).to_dict()))
    except Exception:
        print("null")
"""


@pytest.mark.server
def test_as_mlflow(tmp_path: Path) -> None:
    """MLflow itself finds the same columns in thousands of values, and none where none are found here."""
    python = os.environ.get("AUTOTRACE_FULL_MLFLOW", "")
    assert python, "AUTOTRACE_FULL_MLFLOW names no Python with the full mlflow; run: make check-server"
    source = random.Random(4711)
    given = [values(source) for _ in range(6_000)]
    given += [value for value, _ in TYPES]
    given += [{"a": [value, values(source)]} for value in given[:2_000]]
    done = subprocess.run(
        [Path(python).absolute(), "-c", PROGRAM],
        input="\n".join(map(json.dumps, given)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    ours = [columns(value) for value in given]
    different = [(value, mine, other) for value, mine, other in zip(given, ours, theirs, strict=True) if mine != other]
    assert different[:5] == []
    assert sum(found is not None for found in ours) > 3_000
    assert sum(found is None for found in ours) > 500


def columns(value: object) -> list[dict[str, Any]] | None:
    """The columns of a value, None where it has no type."""
    try:
        return schema(value)
    except UndeterminedError:
        return None


def test_without_numpy() -> None:
    """Inferring a signature imports neither numpy nor pandas nor MLflow."""
    program = (
        "import sys; from langchain_autotrace.models.signature import signature; signature({'a': 1}, 'b');"
        "print(sorted({'numpy', 'pandas', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.strip() == "[]", done.stderr
