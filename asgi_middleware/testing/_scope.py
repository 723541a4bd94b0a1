"""Scopes like those that a server makes."""

from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from ..types import Header

GivenHeaders = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

_ASGI = {"version": "3.0", "spec_version": "2.5"}


def request_headers(given: GivenHeaders, *defaults: Header) -> list[Header]:
    """Return *given* as a server passes headers on, after any *defaults* that it lacks."""
    pairs: Iterable[tuple[str | bytes, str | bytes]]
    pairs = cast("Mapping[str, str]", given).items() if isinstance(given, Mapping) else given
    headers = [(_bytes(name).lower(), _bytes(value)) for name, value in pairs]
    names = {name for name, _ in headers}
    return [*(default for default in defaults if default[0] not in names), *headers]


def http_scope(
    method: str, target: str, headers: list[Header], changes: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        **_common("http", target, headers),
        "http_version": "1.1",
        **changes,
    }


def websocket_scope(
    target: str, headers: list[Header], subprotocols: Iterable[str], changes: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "type": "websocket",
        "subprotocols": list(subprotocols),
        **_common("ws", target, headers),
        "http_version": "1.1",
        "extensions": {"websocket.http.response": {}},
        **changes,
    }


def lifespan_scope(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "lifespan", "asgi": dict(_ASGI), "state": {}, **changes}


def _common(scheme: str, target: str, headers: list[Header]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "asgi": dict(_ASGI),
        "scheme": scheme,
        # https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
    }


def _bytes(value: str | bytes) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else value
