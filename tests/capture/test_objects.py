"""Objects without declared fields, classes, images and numbers that JSON does not have."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import io
import threading
import types
import typing
import weakref
from typing import Any, Final

import numpy as np
import orjson
import pydantic
import pydantic.v1
import pytest
from PIL import Image
from typing_extensions import TypedDict

from langchain_autotrace.capture.convert import converters
from langchain_autotrace.capture.cut import fit
from langchain_autotrace.capture.describe import class_name
from langchain_autotrace.capture.fast import WriteResult, write
from langchain_autotrace.capture.files import Files
from langchain_autotrace.journal.codec import encode
from langchain_autotrace.redaction import scrub

LIMIT: Final = 1_000_000
HERE: Final = __name__
HEAD: Final = ("start", "t")
FILES: Final = Files(encode, 20_000_000, kept=False)


class Lines:
    """A journal in memory."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        """Take a line."""
        self.lines.append(line)

    def write(self, line: bytes) -> bool:
        """Take a line that does not fit the segment."""
        self.lines.append(line)
        return True


def shown(value: object) -> object:
    """The value as both ways write it, which is the same."""
    journal = Lines()
    assert write(HEAD, [(value,)], {}, LIMIT, journal, FILES) is WriteResult.WRITTEN
    fast = orjson.loads(journal.lines[0])[2][0]
    assert fast == fit(value, LIMIT).value
    return fast


class Address:
    """An ordinary class."""

    country = "PT"

    def __init__(self, city: str) -> None:
        self.city = city
        self._key = "hidden"
        self.on_move = print

    @property
    def weather(self) -> str:
        """What must not be run: it would stop the program."""
        raise SystemExit


class Slotted:
    """A class with slots, one of which is never set."""

    __slots__ = ("_hidden", "number", "unset")

    def __init__(self) -> None:
        self.number = 1
        self._hidden = 2


class Named:
    """A class that says what it is."""

    def __init__(self) -> None:
        self.city = "Lisbon"

    def __repr__(self) -> str:
        return "<Named 7>"


class Link:
    """One of a chain of objects."""

    def __init__(self, following: Link | None = None) -> None:
        self.following = following


def circle() -> Link:
    """An object that contains itself, in a field and in a list."""
    one = Link()
    one.following = Link(one)
    one.__dict__["all"] = [one, [one.following]]
    return one


def test_public_fields() -> None:
    """An ordinary object shows its class and public fields; properties are not run, class attributes not shown."""
    address = {"__class__": f"{HERE}.Address", "city": "Porto"}
    holder = types.SimpleNamespace(main=Address("Porto"), others=[Address("Porto"), (1, {"k": Address("Porto")})])

    assert shown(holder) == {"main": address, "others": [address, [1, {"k": address}]]}
    assert shown(argparse.Namespace(q=1.5)) == {"q": 1.5}
    assert shown(Slotted()) == {"__class__": f"{HERE}.Slotted", "number": 1}


def test_own_repr() -> None:
    """An object whose class has a ``__repr__`` of its own is shown by it."""
    assert shown([Named(), threading.Event]) == ["<Named 7>", "threading.Event"]


@pytest.mark.parametrize("value", [threading.Event(), object(), type("Empty", (), {})()])
def test_nothing_to_show(value: object) -> None:
    """Objects of Python's own library, and those without public fields, are shown by their ``repr``."""
    assert shown(value) == repr(value)


def test_object_that_contains_itself() -> None:
    """An object is named where it comes again within itself."""
    again = f"<{HERE}.Link: contains itself>"
    inner = {"__class__": f"{HERE}.Link", "following": again}
    assert shown(circle()) == {"__class__": f"{HERE}.Link", "following": inner, "all": [again, [inner]]}


def test_deep_objects() -> None:
    """Objects within objects are shown four levels deep, and at most two hundred of them."""
    deep = None
    for _ in range(1_000):
        deep = Link(deep)
    levels: Any = shown(deep)
    for _ in range(4):
        assert levels["__class__"] == f"{HERE}.Link"
        levels = levels["following"]
    assert levels == f"<{HERE}.Link>"

    wide = Link()
    wide.__dict__["all"] = [Address("x") for _ in range(250)]
    found: Any = shown(wide)
    assert found["all"][198] == {"__class__": f"{HERE}.Address", "city": "x"}
    assert found["all"][199:] == [f"<{HERE}.Address>"] * 51


def test_images_buffers_and_tensors() -> None:
    """An image is shown as class, format, size and mode; a buffer as its size; a large tensor as its shape."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, "png")
    size = file.tell()
    closed = io.BytesIO()
    closed.close()

    assert shown([Image.open(file), Image.new("L", (3, 4))]) == ["PngImageFile PNG 64x48 RGB", "Image 3x4 L"]
    kind = class_name(file)  # from Python 3.13 on with its module
    assert shown([file, closed]) == [f"<{kind}: {size} bytes>", f"<{kind}: closed>"]
    assert shown(tensor(np.ones(2))) == [1.0, 1.0]
    assert shown(tensor(np.ones((40, 50)))) == {"shape": [40, 50], "dtype": "float64", "device": "cpu"}
    assert shown(tensor(np.ones(2), "cuda:0")) == {"shape": [2], "dtype": "float64", "device": "cuda:0"}


def tensor(array: Any, device: str = "cpu") -> object:
    """An object with what is asked of torch's tensors."""

    class Tensor:
        __module__ = "torch"
        shape, dtype = array.shape, array.dtype

        def __init__(self) -> None:
            self.device = device

        def numel(self) -> int:
            return int(array.size)

        def tolist(self) -> object:
            return array.tolist()

    return Tensor()


def test_numbers_that_json_does_not_have() -> None:
    """NaN and infinities are written as their names, wherever they stand."""
    nan, inf = float("nan"), float("inf")

    assert [shown(one) for one in (nan, inf, -inf)] == ["NaN", "Infinity", "-Infinity"]
    assert shown([nan, {"a": -inf, "b": (inf, 1.5, None)}]) == ["NaN", {"a": "-Infinity", "b": ["Infinity", 1.5, None]}]
    assert shown([np.float64("nan"), np.float32("inf"), np.array([[nan, 1]])]) == ["NaN", "Infinity", [["NaN", 1.0]]]
    assert shown(Link(inf)) == {"__class__": f"{HERE}.Link", "following": "Infinity"}  # type: ignore[arg-type]


class Person(pydantic.BaseModel):
    """Who it is."""

    name: str
    scores: list[float] = [1.0]


class OldPerson(pydantic.v1.BaseModel):
    """Who it is."""

    name: str


@dataclasses.dataclass
class Point:
    """A place."""

    x: int


class Film(TypedDict):
    """A film."""

    title: str


class OldFilm(typing.TypedDict):
    title: str


class Unschemed(pydantic.BaseModel):
    """A class that pydantic cannot make a schema of."""

    model_config = {"arbitrary_types_allowed": True}
    lock: Address


class Own(pydantic.BaseModel):
    """A class that makes its schema itself."""

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return something else."""
        return {"type": "string"}


TITLE: Final = {"title": "Title", "type": "string"}
NAME: Final = {"title": "Name", "type": "string"}
SCORES: Final = {"title": "Scores", "type": "array", "items": {"type": "number"}, "default": [1.0]}
SCHEMAS: Final[list[tuple[type, object]]] = [
    (
        Person,
        {
            "title": "Person",
            "description": "Who it is.",
            "type": "object",
            "properties": {"name": NAME, "scores": SCORES},
            "required": ["name"],
        },
    ),
    (
        OldPerson,
        {
            "title": "OldPerson",
            "description": "Who it is.",
            "type": "object",
            "properties": {"name": NAME},
            "required": ["name"],
        },
    ),
    (
        Point,
        {
            "title": "Point",
            "description": "A place.",
            "type": "object",
            "properties": {"x": {"title": "X", "type": "integer"}},
            "required": ["x"],
        },
    ),
    (
        Film,
        {
            "title": "Film",
            "description": "A film.",
            "type": "object",
            "properties": {"title": TITLE},
            "required": ["title"],
        },
    ),
    (Own, {"type": "string"}),
    (Unschemed, f"{HERE}.Unschemed"),
    (Address, f"{HERE}.Address"),
    (pydantic.BaseModel, "pydantic.main.BaseModel"),
    (int, "int"),
]


@pytest.mark.parametrize(("kind", "expected"), SCHEMAS)
def test_class(kind: type, expected: object) -> None:
    """A class that describes data is written as its JSON schema, each time the same; another one as its name."""
    for _ in range(2):
        assert shown({"response_format": kind}) == {"response_format": expected}


def test_typed_dict_of_the_standard_library() -> None:
    """A ``typing.TypedDict`` has a schema too where pydantic does not take it (Python 3.11)."""
    schema: Any = shown(OldFilm)
    assert schema["properties"]["title"]["type"] == "string"
    assert {name: schema[name] for name in schema if name != "properties"} == {
        "title": "OldFilm",
        "type": "object",
        "required": ["title"],
    }


def test_schema_without_warning() -> None:
    """A default that JSON cannot hold makes no warning, which the program would see."""
    kind = pydantic.create_model("Odd", value=(Any, Address("x")))
    assert shown(kind) == {"title": "Odd", "type": "object", "properties": {"value": {"title": "Value"}}}


def test_class_that_is_gone() -> None:
    """A class that was written once is not kept alive by its schema."""
    kind = pydantic.create_model("Gone", name=(str, ...))
    shown(kind)
    seen = weakref.ref(kind)
    converters.clear()
    del kind
    gc.collect()
    assert seen() is None


class Client:
    """A class with a key."""

    def __init__(self) -> None:
        self.password = "hunter22"
        self.host = "h"


def test_secret_in_a_field() -> None:
    """A field whose name says that it is a secret is scrubbed, as the key of a dict is."""
    assert write(HEAD, [(Client(),)], {}, LIMIT, Lines(), FILES) == WriteResult.SUSPECT
    assert scrub(fit([Client()], LIMIT).value) == [
        {"__class__": f"{HERE}.Client", "password": "[REDACTED]", "host": "h"}
    ]
