"""The base of every wire document: a frozen dataclass whose fields say how they stand on the wire.

A document is read by `parse(payload bytes)`: type and version first (so that newer ones can be kept opaque, design.md
9.13), then every field strictly: unknown and missing fields are refused. `encode()` is its inverse.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Self

from fairwitness_core.wire import canonical
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.fields import Kind


class UnknownKind(ProtocolError):
    """A type or version this code does not know: prove it, keep it opaque, count it (design.md 9.13)."""


def wire(kind: Kind, *, optional: bool = False, default: Any = None, name: str | None = None) -> Any:
    """Declare a field: its `kind`, whether it may be absent (then it is `default`), its wire `name` where Python reserves it."""
    metadata = {"kind": kind, "optional": optional, "name": name, "default": default}
    return field(default=default, metadata=metadata) if optional else field(metadata=metadata)


def _wire_name(item: "Field[Any]") -> str:
    return item.metadata["name"] or item.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A nested object without type and version."""

    @classmethod
    def from_json(cls, value: Any, where: str = "document") -> Self:
        """Read a parsed JSON object strictly; raises ProtocolError."""
        if not isinstance(value, Mapping):
            raise ProtocolError("document.shape", f"{where} is not an object", evidence=repr(value))
        rest = dict(value)
        arguments = {}
        for item in fields(cls):
            name = _wire_name(item)
            if name not in rest:
                if item.metadata["optional"]:
                    continue
                raise ProtocolError("document.missing_field", f"{where} lacks the field {name!r}")
            raw = rest.pop(name)
            if raw is None:
                raise ProtocolError("document.null", f"{where}.{name} is null", hint="leave the field out")
            arguments[item.name] = item.metadata["kind"].decode(raw, f"{where}.{name}")
        if rest:
            raise ProtocolError("document.unknown_field", f"{where} has an unknown field", evidence=sorted(rest)[0])
        return cls(**arguments)

    def __post_init__(self) -> None:
        """Validate what was constructed in Python exactly as if it had been read."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.metadata["optional"] and value == item.metadata["default"]:
                continue
            kind: Kind = item.metadata["kind"]
            kind.decode(kind.encode(value), _wire_name(item))
        self.check()

    def check(self) -> None:
        """Check rules between fields; raises ProtocolError. Overridden where there are any."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; absent optional fields are left out."""
        result = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if not item.metadata["optional"] or value != item.metadata["default"]:
                result[_wire_name(item)] = item.metadata["kind"].encode(value)
        return result


def part(cls: type[Part]) -> Kind:
    """Field kind of a nested object."""
    return Kind(lambda value, where: cls.from_json(value, where), lambda value: value.to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Part):
    """A top-level object: `{"type": TYPE, "v": VERSION, ...fields}`."""

    TYPE: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object with its type and version."""
        return {"type": self.TYPE, "v": self.VERSION, **Part.to_json(self)}

    def encode(self) -> bytes:
        """Return the canonical payload bytes."""
        return canonical.encode(self.to_json())

    @classmethod
    def from_document(cls, value: Mapping[str, Any]) -> Self:
        """Read a parsed object of this very type and version; raises UnknownKind or ProtocolError."""
        kind, version = kind_of(value)
        if (kind, version) != (cls.TYPE, cls.VERSION):
            raise UnknownKind("document.kind", f"expected {cls.TYPE} version {cls.VERSION}", evidence=f"{kind} {version}")
        return cls.from_json({k: v for k, v in value.items() if k not in {"type", "v"}}, cls.TYPE)

    @classmethod
    def parse(cls, payload: bytes, *, limit: int = canonical.DEFAULT_LIMIT) -> Self:
        """Read canonical payload bytes of this very type and version; raises UnknownKind or ProtocolError."""
        return cls.from_document(canonical.decode(payload, limit=limit))


def kind_of(value: Any) -> tuple[str, int]:
    """Return (type, version) of a parsed object; raises ProtocolError where it has none."""
    if not isinstance(value, Mapping):
        raise ProtocolError("document.shape", "not an object")
    kind, version = value.get("type"), value.get("v")
    if not isinstance(kind, str) or isinstance(version, bool) or not isinstance(version, int):
        raise ProtocolError("document.shape", "a document names its type and its version", hint='"type" and "v"')
    return kind, version
