"""From type hints to JSON Schemas, and values to JSON and back."""

import datetime as dt
import sys
import unittest
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, Required, TypedDict, Union

from countersign.hints import parameters_of, result_of, shape_of
from countersign.shapes import Anything, Misfit, dumps, schema_of


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Author:
    """Who wrote it."""

    name: Annotated[str, "as it is printed"]
    born: dt.date | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class Tree:
    label: str
    children: "list[Tree]"


@dataclass
class Positive:
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("n must be at least 1")


class Options(TypedDict):
    depth: int
    dry: NotRequired[bool]


class Deferred(TypedDict):
    """As under `from __future__ import annotations`: the class itself takes all of its fields for required."""

    a: "int"
    b: "NotRequired[int]"
    c: "Annotated[Required[int], 'c']"
    d: "Annotated[NotRequired[int], 'd']"


class Point(NamedTuple):
    x: int
    y: float


UserId = NewType("UserId", str)


class Schemas(unittest.TestCase):
    def schema(self, hint: Any) -> Any:
        return schema_of(shape_of(hint))

    def test_plain_types(self) -> None:
        self.assertEqual(self.schema(str), {"type": "string"})
        self.assertEqual(self.schema(int), {"type": "integer"})
        self.assertEqual(self.schema(float), {"type": "number"})
        self.assertEqual(self.schema(bool), {"type": "boolean"})
        self.assertEqual(self.schema(None), {"type": "null"})
        self.assertEqual(self.schema(Any), {})
        self.assertEqual(self.schema(UserId), {"type": "string"})

    def test_containers(self) -> None:
        self.assertEqual(self.schema(list), {"type": "array"})
        self.assertEqual(self.schema(list[int]), {"type": "array", "items": {"type": "integer"}})
        self.assertEqual(self.schema(dict), {"type": "object"})
        self.assertEqual(self.schema(dict[str, int]), {"type": "object", "additionalProperties": {"type": "integer"}})
        self.assertEqual(
            self.schema(tuple[int, str]),
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        )
        self.assertEqual(self.schema(tuple[int, ...]), {"type": "array", "items": {"type": "integer"}})
        self.assertEqual(self.schema(set[str])["uniqueItems"], True)

    def test_choices_and_unions(self) -> None:
        self.assertEqual(self.schema(Literal["a", 1]), {"enum": ["a", 1]})
        self.assertEqual(self.schema(Color), {"enum": ["red", "blue"]})
        # The old spellings, too.
        self.assertEqual(self.schema(Optional[int]), {"type": ["integer", "null"]})  # noqa: UP045
        self.assertEqual(self.schema(Union[int, list[int]])["anyOf"][0], {"type": "integer"})  # noqa: UP007
        # A host refuses a schema that names a type twice.
        self.assertEqual(self.schema(str | Decimal), {"type": "string"})
        self.assertEqual(self.schema(list[Any] | tuple[Any, ...] | None), {"type": ["array", "null"]})

    def test_texts(self) -> None:
        self.assertEqual(self.schema(dt.datetime), {"type": "string", "format": "date-time"})
        self.assertEqual(
            self.schema(Annotated[dt.date, "when"]), {"type": "string", "format": "date", "description": "when"}
        )
        self.assertEqual(self.schema(Annotated[int, {}, "how many"]), {"type": "integer", "description": "how many"})

    def test_records(self) -> None:
        self.assertEqual(
            self.schema(Author),
            {
                "type": "object",
                "description": "Who wrote it.",
                "properties": {
                    "name": {"type": "string", "description": "as it is printed"},
                    "born": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["name"],
                "additionalProperties": False,
            },
        )
        self.assertEqual(self.schema(Options)["required"], ["depth"])
        self.assertEqual(self.schema(Deferred)["required"], ["a", "c"])

    def test_a_type_that_contains_itself_refers_to_itself(self) -> None:
        schema = self.schema(Tree)
        self.assertEqual(schema["$ref"], "#/$defs/Tree")
        self.assertEqual(schema["$defs"]["Tree"]["properties"]["children"]["items"], {"$ref": "#/$defs/Tree"})

    @unittest.skipIf(sys.version_info < (3, 12), "this Python has no `type` statement")
    def test_an_alias_that_contains_itself_does_so_too(self) -> None:
        names: dict[str, Any] = {}
        exec("type Nested = list[Nested] | int\ntype Flat = list[int]", names)
        schema = self.schema(names["Nested"])
        self.assertEqual(schema["$ref"], "#/$defs/Nested")
        self.assertEqual(schema["$defs"]["Nested"]["anyOf"][0]["items"], {"$ref": "#/$defs/Nested"})
        self.assertEqual(shape_of(names["Nested"]).read([1, [2]]), [1, [2]])
        self.assertEqual(self.schema(names["Flat"]), {"type": "array", "items": {"type": "integer"}})

    def test_what_has_no_json_form_is_refused_by_name(self) -> None:
        async def f(data: bytes) -> None: ...
        async def g(*rest: int) -> None: ...
        async def h() -> complex:
            return 1j

        with self.assertRaisesRegex(TypeError, "parameter `data` of function `f`: bytes has no JSON form"):
            parameters_of(f, "f")
        with self.assertRaisesRegex(TypeError, "parameter `rest` of function `g`"):
            parameters_of(g, "g")
        with self.assertRaisesRegex(TypeError, "the result of function `h`: complex"):
            result_of(h, "h")

    def test_parameters(self) -> None:
        async def f(a: int, b: str = "x", *, c: bool = True, **rest: int) -> None: ...
        async def g(a: Any) -> None: ...

        schema = schema_of(parameters_of(f, "f"))
        self.assertEqual(schema["required"], ["a"])
        self.assertEqual(schema["properties"]["b"], {"type": "string", "default": "x"})
        self.assertEqual(schema["additionalProperties"], {"type": "integer"})
        self.assertEqual(schema_of(parameters_of(g, "g"))["properties"], {"a": {}})


class Reading(unittest.TestCase):
    def read(self, hint: Any, value: Any) -> Any:
        return shape_of(hint).read(value)

    def misfit(self, hint: Any, value: Any) -> str:
        with self.assertRaises(Misfit) as caught:
            self.read(hint, value)
        return str(caught.exception)

    def test_numbers(self) -> None:
        self.assertEqual(self.read(int, 3.0), 3)
        self.assertIs(type(self.read(int, 3.0)), int)
        self.assertIs(type(self.read(float, 3)), float)
        self.assertEqual(self.misfit(int, 3.5), "a number, but an integer is wanted")
        self.assertEqual(self.misfit(int, True), "a boolean, but an integer is wanted")
        self.assertEqual(self.misfit(bool, 1), "an integer, but a boolean is wanted")
        # As in JSON Schema.
        self.assertEqual(self.read(Literal[1, 2], 2.0), 2)
        self.assertEqual(self.misfit(Literal[1, 2], True), "true is none of 1, 2")

    def test_objects_of_types(self) -> None:
        author = self.read(Author, {"name": "Ada", "born": "1815-12-10"})
        self.assertEqual(author, Author("Ada", dt.date(1815, 12, 10), []))
        self.assertEqual(self.read(Point, [1, 2]), Point(1, 2.0))
        self.assertEqual(self.read(set[int], [1, 2]), {1, 2})
        self.assertIs(self.read(Color, "blue"), Color.BLUE)
        self.assertEqual(self.read(Decimal, "1.10"), Decimal("1.10"))
        self.assertEqual(self.read(dict[Color, int], {"red": 1}), {Color.RED: 1})
        tree = self.read(Tree, {"label": "a", "children": [{"label": "b", "children": []}]})
        self.assertEqual(tree.children[0].label, "b")

    def test_a_misfit_names_its_place(self) -> None:
        self.assertEqual(
            self.misfit(dict[str, list[int]], {"a": [1, "x"]}), "`a[1]`: a string, but an integer is wanted"
        )
        self.assertEqual(self.misfit(Author, {}), "`name`: is missing")
        self.assertIn("`nam`: there is no such field", self.misfit(Author, {"name": "x", "nam": "x"}))
        self.assertIn('"green" is none of "red", "blue"', self.misfit(Color, "green"))
        self.assertIn('"x" is no date', self.misfit(dt.date, "x"))
        self.assertEqual(self.misfit(Positive, {"n": 0}), "n must be at least 1")
        self.assertEqual(self.misfit(tuple[int, int], [1]), "an array of 1, but one of 2 is wanted")
        self.assertIn("unhashable", self.misfit(dict[str, set[Any]], {"a": [[]]}))

    def test_of_a_union_the_one_that_fits_best_is_meant(self) -> None:
        self.assertEqual(self.read(int | str, "x"), "x")
        self.assertEqual(self.misfit(Author | None, {"name": 3}), "`name`: an integer, but a string is wanted")


class Writing(unittest.TestCase):
    def test_values_of_any_type(self) -> None:
        when = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
        value = {"a": Author("Ä", dt.date(2000, 1, 1)), "c": Color.RED, "p": Point(1, 2), "s": {3, 1, 2}, "w": when}
        self.assertEqual(
            dumps(Anything().write(value)),
            '{"a":{"name":"Ä","born":"2000-01-01","tags":[]},"c":"red","p":[1,2],"s":[1,2,3],'
            '"w":"2026-01-02T03:00:00+00:00"}',
        )
        self.assertEqual(Anything().write(uuid.UUID(int=1)), "00000000-0000-0000-0000-000000000001")

    def test_what_is_no_json_is_a_misfit(self) -> None:
        for bad in (float("nan"), float("inf"), b"x", object(), {1: 2}, [1, {"a": 1j}]):
            with self.assertRaises(Misfit, msg=repr(bad)):
                Anything().write(bad)

    def test_half_a_surrogate_pair_becomes_a_question_mark(self) -> None:
        self.assertEqual(Anything().write("a\ud800"), "a?")

    def test_a_result_is_held_to_its_hint(self) -> None:
        with self.assertRaisesRegex(Misfit, "a string, but an integer is wanted"):
            shape_of(int).write("seven")
        with self.assertRaises(Misfit):
            shape_of(dt.date).write(dt.datetime(2026, 1, 1))
        self.assertEqual(shape_of(Options).write({"depth": 1}), {"depth": 1})
        with self.assertRaises(Misfit):
            shape_of(Options).write({"depth": 1, "deep": 2})


class FakeModel:
    """What pydantic 2 looks like from outside."""

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        part = {"$ref": "#/$defs/Part"}
        return {"type": "object", "properties": {"n": {"type": "integer"}, "part": part}, "$defs": {"Part": {}}}

    @classmethod
    def model_validate(cls, value: Any) -> "FakeModel":
        if not isinstance(value.get("n"), int):
            raise ValueError("n is no integer")
        return cls(value["n"])

    def model_dump(self, mode: str, by_alias: bool) -> Any:
        return {"n": self.n}


class Models(unittest.TestCase):
    def test_whatever_has_the_methods_of_a_model_is_one(self) -> None:
        shape = shape_of(list[FakeModel])
        schema = schema_of(shape)
        self.assertEqual(schema["$defs"], {"Part": {}})
        self.assertNotIn("$defs", schema["items"])
        self.assertEqual(shape.read([{"n": 3}])[0].n, 3)
        self.assertEqual(shape.write([FakeModel(4)]), [{"n": 4}])
        with self.assertRaisesRegex(Misfit, r"`\[0\]`: n is no integer"):
            shape.read([{"n": "x"}])

    def test_pydantic_itself(self) -> None:
        try:
            import pydantic
        except ImportError:
            self.skipTest("pydantic is not installed")

        class Post(pydantic.BaseModel):
            title: str
            stars: int = pydantic.Field(ge=1)

        shape = shape_of(Post)
        self.assertEqual(schema_of(shape)["required"], ["title", "stars"])
        self.assertEqual(shape.read({"title": "x", "stars": 2}), Post(title="x", stars=2))
        self.assertEqual(Anything().write(Post(title="x", stars=2)), {"title": "x", "stars": 2})
        with self.assertRaisesRegex(Misfit, "`stars`: "):
            shape.read({"title": "x", "stars": 0})
