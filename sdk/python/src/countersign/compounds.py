"""Shapes that are made of other shapes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from countersign.shapes import MISSING, Anything, Defs, Json, Misfit, Schema, Shape, at, dumps, kind, one_of


@dataclass
class Listed:
    """An array of one kind of items."""

    cls: type[Any]
    item: Shape

    def schema(self, defs: Defs) -> Schema:
        unique = {"uniqueItems": True} if issubclass(self.cls, set | frozenset) else {}
        items = self.item.schema(defs)
        return {"type": "array"} | ({"items": items} if items else {}) | unique

    def read(self, value: Json) -> Any:
        if not isinstance(value, list):
            raise Misfit(f"{kind(value)}, but an array is wanted")
        items = [at(index, self.item.read, item) for index, item in enumerate(value)]
        try:
            return self.cls(items)
        except TypeError as error:
            raise Misfit(str(error)) from None

    def write(self, value: Any) -> Json:
        accepted = (set, frozenset) if issubclass(self.cls, set | frozenset) else (list, tuple)
        if not isinstance(value, accepted):
            raise Misfit(f"{kind(value)}, but a {self.cls.__name__} is wanted")
        items = [at(index, self.item.write, item) for index, item in enumerate(value)]
        # Sets have an order of their own, which changes from build to build.
        return items if accepted == (list, tuple) else sorted(items, key=dumps)


@dataclass
class Rowed:
    """An array of so many items, each of its own kind."""

    items: list[Shape]
    make: Callable[[list[Any]], Any] = tuple

    def schema(self, defs: Defs) -> Schema:
        count = len(self.items)
        rows = {"prefixItems": [item.schema(defs) for item in self.items]} if self.items else {}
        return {"type": "array", **rows, "minItems": count, "maxItems": count}

    def read(self, value: Json) -> Any:
        return self.make([at(i, item.read, value[i]) for i, item in enumerate(self._fit(value, list))])

    def write(self, value: Any) -> Json:
        return [at(i, item.write, value[i]) for i, item in enumerate(self._fit(value, tuple))]

    def _fit(self, value: Any, wanted: type[Any]) -> list[Shape]:
        if not isinstance(value, wanted):
            raise Misfit(f"{kind(value)}, but an array of {len(self.items)} is wanted")
        if len(value) != len(self.items):
            raise Misfit(f"an array of {len(value)}, but one of {len(self.items)} is wanted")
        return self.items


@dataclass
class Keyed:
    """An object of one kind of values, under any names of one kind."""

    name: Shape
    value: Shape

    def schema(self, defs: Defs) -> Schema:
        names, values = self.name.schema(defs), self.value.schema(defs)
        schema: Schema = {"type": "object"}
        if names != {"type": "string"}:
            schema["propertyNames"] = names
        if values:
            schema["additionalProperties"] = values
        return schema

    def read(self, value: Json) -> Any:
        if not isinstance(value, dict):
            raise Misfit(f"{kind(value)}, but an object is wanted")
        return {at(name, self.name.read, name): at(name, self.value.read, item) for name, item in value.items()}

    def write(self, value: Any) -> Json:
        if not isinstance(value, Mapping):
            raise Misfit(f"{kind(value)}, but a dict is wanted")
        return {at(str(name), self.name.write, name): at(str(name), self.value.write, item)
                for name, item in value.items()}  # fmt: skip


@dataclass
class Field:
    """One named part of a record."""

    name: str
    shape: Shape
    required: bool
    default: Any = MISSING


@dataclass
class Record:
    """An object with fields: a dataclass, a `TypedDict`, or the parameters of a function."""

    title: str
    fields: list[Field]
    make: Callable[[dict[str, Any]], Any] = dict
    cls: type[Any] = dict
    description: str | None = None
    rest: Shape | None = None
    """What fields of other names look like; None: there may be none."""

    def schema(self, defs: Defs) -> Schema:
        schema: Schema = {"type": "object"}
        if self.description:
            schema["description"] = self.description
        schema["properties"] = {part.name: self._part(part, defs) for part in self.fields}
        required = [part.name for part in self.fields if part.required]
        if required:
            schema["required"] = required
        rest = False if self.rest is None else self.rest.schema(defs)
        if rest != {}:
            schema["additionalProperties"] = rest
        return schema

    @staticmethod
    def _part(part: Field, defs: Defs) -> Schema:
        schema = part.shape.schema(defs)
        if part.default is not MISSING:
            # A default may be something that has no JSON form, and that no caller can give.
            with contextlib.suppress(Misfit):
                schema = schema | {"default": part.shape.write(part.default)}
        return schema

    def read(self, value: Json) -> Any:
        if not isinstance(value, dict):
            raise Misfit(f"{kind(value)}, but an object is wanted")
        parts: dict[str, Any] = {}
        for part in self.fields:
            if part.name in value:
                parts[part.name] = at(part.name, part.shape.read, value[part.name])
            elif part.required:
                raise Misfit("is missing", (part.name,))
        for name in value.keys() - parts.keys():
            if self.rest is None:
                raise Misfit(f"there is no such field; there are {one_of(part.name for part in self.fields)}", (name,))
        rest = {name: item for name, item in value.items() if name not in parts}
        if self.rest is not None:
            parts |= {name: at(name, self.rest.read, item) for name, item in rest.items()}
        return self.make(parts)

    def write(self, value: Any) -> Json:
        if not isinstance(value, self.cls):
            raise Misfit(f"{kind(value)}, but {self.title} is wanted")
        written = {}
        for part in self.fields:
            item = value.get(part.name, MISSING) if self.cls is dict else getattr(value, part.name, MISSING)
            if item is not MISSING:
                written[part.name] = at(part.name, part.shape.write, item)
            elif part.required:
                raise Misfit("is missing", (part.name,))
        if self.cls is dict and (unknown := value.keys() - written.keys()):
            raise Misfit("there is no such field", (min(unknown),))
        return written


@dataclass
class AnyOf:
    """One of several shapes; the first that fits."""

    shapes: list[Shape]

    def schema(self, defs: Defs) -> Schema:
        schemas = [shape.schema(defs) for shape in self.shapes]
        simple = [schema["type"] for schema in schemas if schema.keys() == {"type"}]
        if len(simple) < len(schemas):
            return {"anyOf": schemas}
        # Two types may be the same in JSON, and a schema names none twice.
        types = list(dict.fromkeys(simple))
        return {"type": types if len(types) > 1 else types[0]}

    def read(self, value: Json) -> Any:
        return self._first(lambda shape: shape.read(value))

    def write(self, value: Any) -> Json:
        return self._first(lambda shape: shape.write(value))

    def _first(self, attempt: Callable[[Shape], Any]) -> Any:
        misfits = []
        for shape in self.shapes:
            try:
                return attempt(shape)
            except Misfit as misfit:
                misfits.append(misfit)
        # What went furthest is most likely what was meant.
        deepest = max(misfits, key=lambda misfit: len(misfit.path))
        if deepest.path:
            raise deepest
        raise Misfit("; ".join(dict.fromkeys(misfit.why for misfit in misfits)))


@dataclass
class Described:
    """A shape, and what it is for."""

    shape: Shape
    description: str

    def schema(self, defs: Defs) -> Schema:
        return self.shape.schema(defs) | {"description": self.description}

    def read(self, value: Json) -> Any:
        return self.shape.read(value)

    def write(self, value: Any) -> Json:
        return self.shape.write(value)


@dataclass
class Named:
    """A shape that contains itself: its schema is a definition, to which it refers."""

    name: str
    shape: Shape = field(default_factory=Anything)
    is_recursive: bool = False

    def schema(self, defs: Defs) -> Schema:
        if not self.is_recursive:
            return self.shape.schema(defs)
        if self.name not in defs:
            defs[self.name] = {}
            defs[self.name] = self.shape.schema(defs)
        return {"$ref": f"#/$defs/{self.name}"}

    def read(self, value: Json) -> Any:
        return self.shape.read(value)

    def write(self, value: Any) -> Json:
        return self.shape.write(value)
