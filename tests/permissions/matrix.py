"""Find every endpoint of the running role and what it declares about access."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from ninja.constants import NOT_SET
from ninja.operation import PathView

from fairwitness.kit.accounts.gate import Access, access_of


@dataclass(frozen=True)
class Endpoint:
    """One method at one address."""

    name: str
    route: str
    method: str
    access: Access | None
    converters: tuple[tuple[str, type], ...]
    problem: str = ""

    @property
    def id(self) -> str:
        return f"{self.method} /{self.route}"


def endpoints() -> list[Endpoint]:
    """Return them all, sorted."""
    # ninja registers an address once for each operation's name: the same endpoint again.
    found = {e.id: e for e in _walk(get_resolver().url_patterns, "", ())}
    return sorted(found.values(), key=lambda e: (e.route, e.method))


def _walk(patterns: Any, prefix: str, converters: tuple) -> Iterator[Endpoint]:
    for item in patterns:
        route = prefix + _route(item.pattern)
        found = (*converters, *((name, type(c)) for name, c in item.pattern.converters.items()))
        if isinstance(item, URLResolver):
            yield from _walk(item.url_patterns, route, found)
        elif isinstance(item, URLPattern):
            yield from _endpoint(item, route, found)


def _route(pattern: Any) -> str:
    return str(pattern)


def _endpoint(item: URLPattern, route: str, converters: tuple) -> Iterator[Endpoint]:
    path_view = _path_view(item.callback)
    if path_view is None:
        access = access_of(item.callback)
        methods = ("GET", "POST")
        for method in methods:
            yield Endpoint(item.name or route, route, method, access, converters)
        return
    for operation in path_view.operations:
        access, problem = _operation_access(operation)
        name = operation.operation_id or operation.view_func.__name__
        for method in operation.methods:
            yield Endpoint(name, route, method, access, converters, problem)


def _path_view(callback: Any) -> PathView | None:
    """A ninja address is a closure over its PathView; ninja's own pages (root, docs) are not."""
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        if isinstance(content, PathView):
            return content
    owner = getattr(callback, "__self__", None)
    return owner if isinstance(owner, PathView) else None


def _operation_access(operation: Any) -> tuple[Access | None, str]:
    callbacks = operation.auth_param
    if callbacks is NOT_SET or callbacks is None:
        inherited = list(operation.auth_callbacks or [])
    else:
        inherited = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    declared = [access_of(callback) for callback in inherited]
    if len(declared) != 1:
        return None, f"{len(declared)} ways in are declared; one is needed"
    return declared[0], ""


def is_ninja_root(endpoint: Endpoint) -> bool:
    """Tell whether this is the address by which ninja names its API in `reverse`: it answers 404 to everybody."""
    return endpoint.name == "api-root"
