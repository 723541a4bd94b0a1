"""The rules of ASGI that an application can break, one class for each protocol.

Each class is given the messages in the order in which the app sends them, and raises
:class:`ASGIViolation` at the first that breaks a rule.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from .._headers import is_token
from ..types import Message, Scope

_WWW = "https://asgi.readthedocs.io/en/latest/specs/www.html"
_MAIN = "https://asgi.readthedocs.io/en/latest/specs/main.html"
_LIFESPAN = "https://asgi.readthedocs.io/en/latest/specs/lifespan.html"
_EXTENSIONS = "https://asgi.readthedocs.io/en/latest/extensions.html"


class ASGIViolation(AssertionError):  # noqa: N818 -- the usual word
    """An application, or a middleware around it, broke a rule of ASGI.

    ``rule`` is a sentence that says which one, ``section`` is the address of its section.
    """

    def __init__(self, rule: str, section: str) -> None:
        self.rule = rule
        self.section = section
        super().__init__(f"{rule} ({section})")


class HTTPLint:
    """What an app may send on an ``http`` scope."""

    def __init__(self, scope: Scope, spelled_by_app: AbstractSet[bytes]) -> None:
        self.complete = False
        self._extensions = _extensions(scope)
        self._spelled_by_app = spelled_by_app
        self._started = False
        self._body_complete = False
        self._trailers = False

    def sent(self, message: Message) -> None:
        kind = _kind(message)
        if self.complete:
            raise ASGIViolation(
                f"{kind} was sent after the response was complete",
                f"{_WWW}#response-body-send-event",
            )
        match kind:
            case "http.response.start":
                self._start(message)
            case "http.response.body":
                self._need_start(kind)
                _check(message, "body", bytes, f"{_WWW}#response-body-send-event")
                _check(message, "more_body", bool, f"{_WWW}#response-body-send-event")
                self._body_ended(more=message.get("more_body", False))
            case "http.response.pathsend":
                self._need_offer(kind)
                self._need_start(kind)
                _check(message, "path", str, f"{_EXTENSIONS}#path-send", needed=True)
                self._body_ended(more=False)
            case "http.response.zerocopysend":
                self._need_offer(kind)
                self._need_start(kind)
                _check(message, "more_body", bool, f"{_EXTENSIONS}#zero-copy-send")
                self._body_ended(more=message.get("more_body", False))
            case "http.response.trailers":
                self._trailers_sent(message)
            case "http.response.push" | "http.response.early_hint" | "http.response.debug":
                self._need_offer(kind)
            case _:
                raise _unknown(kind, "http")

    def ended(self) -> None:
        """Check what must be true when the app has returned to a client that stayed."""
        if not self._started:
            raise ASGIViolation(
                "the app returned without sending http.response.start",
                f"{_WWW}#response-start-send-event",
            )
        if not self.complete:
            raise ASGIViolation(
                "the app returned without completing the response; its last message needs"
                " more_body=False",
                f"{_WWW}#response-body-send-event",
            )

    def _start(self, message: Message) -> None:
        section = f"{_WWW}#response-start-send-event"
        if self._started:
            raise ASGIViolation("http.response.start was sent twice", section)
        _check_status(message, section)
        _check_headers(message, self._spelled_by_app, section)
        _check(message, "trailers", bool, section)
        self._started = True
        self._trailers = message.get("trailers", False)

    def _trailers_sent(self, message: Message) -> None:
        section = f"{_EXTENSIONS}#http-trailers"
        self._need_offer("http.response.trailers")
        if not self._trailers:
            raise ASGIViolation(
                "http.response.trailers was sent, but the start did not say trailers=True",
                section,
            )
        if not self._body_complete:
            raise ASGIViolation(
                "http.response.trailers was sent before the end of the body", section
            )
        _check_headers(message, self._spelled_by_app, section)
        _check(message, "more_trailers", bool, section)
        self.complete = not message.get("more_trailers", False)

    def _body_ended(self, *, more: bool) -> None:
        if self._body_complete:
            raise ASGIViolation(
                "body was sent after the end of the body", f"{_WWW}#response-body-send-event"
            )
        if not more:
            self._body_complete = True
            self.complete = not self._trailers

    def _need_start(self, kind: str) -> None:
        if not self._started:
            raise ASGIViolation(
                f"{kind} was sent before http.response.start", f"{_WWW}#response-start-send-event"
            )

    def _need_offer(self, kind: str) -> None:
        if kind not in self._extensions:
            raise ASGIViolation(
                f"{kind} was sent, but the server does not offer it in scope['extensions']",
                f"{_EXTENSIONS}",
            )


class WebSocketLint:
    """What an app may send on a ``websocket`` scope."""

    def __init__(self, scope: Scope, spelled_by_app: AbstractSet[bytes]) -> None:
        self.accepted = False
        self.closed = False
        self._denying = False
        self._extensions = _extensions(scope)
        self._spelled_by_app = spelled_by_app

    def sent(self, message: Message) -> None:
        kind = _kind(message)
        if self.closed:
            raise ASGIViolation(
                f"{kind} was sent after the socket was closed", f"{_WWW}#close-send-event"
            )
        match kind:
            case "websocket.accept":
                self._accept(message)
            case "websocket.send":
                self._send(message)
            case "websocket.close":
                self._close(message)
            case "websocket.http.response.start" | "websocket.http.response.body":
                self._deny(kind, message)
            case _:
                raise _unknown(kind, "websocket")

    def ended(self) -> None:
        """Check what must be true when the app has returned to a client that stayed."""
        if not self.accepted and not self.closed:
            raise ASGIViolation(
                "the app returned without accepting or closing the socket",
                f"{_WWW}#connect-receive-event",
            )

    def _accept(self, message: Message) -> None:
        section = f"{_WWW}#accept-send-event"
        if self.accepted or self._denying:
            raise ASGIViolation("websocket.accept was sent after the handshake", section)
        if message.get("subprotocol") is not None:
            _check(message, "subprotocol", str, section)
        _check_headers(message, self._spelled_by_app, section)
        self.accepted = True

    def _send(self, message: Message) -> None:
        section = f"{_WWW}#send-send-event"
        if not self.accepted:
            raise ASGIViolation("websocket.send was sent before websocket.accept", section)
        given = [key for key in ("bytes", "text") if message.get(key) is not None]
        if len(given) != 1:
            raise ASGIViolation("websocket.send needs either bytes or text", section)
        _check(message, given[0], bytes if given == ["bytes"] else str, section)

    def _close(self, message: Message) -> None:
        section = f"{_WWW}#close-send-event"
        if self._denying:
            raise ASGIViolation(
                "websocket.close was sent in the middle of a denial response", section
            )
        _check(message, "code", int, section)
        if message.get("reason") is not None:
            _check(message, "reason", str, section)
        self.closed = True

    def _deny(self, kind: str, message: Message) -> None:
        section = f"{_EXTENSIONS}#websocket-denial-response"
        if "websocket.http.response" not in self._extensions:
            raise ASGIViolation(
                f"{kind} was sent, but the server does not offer websocket.http.response", section
            )
        if self.accepted:
            raise ASGIViolation(f"{kind} was sent after websocket.accept", section)
        if kind.endswith("start"):
            if self._denying:
                raise ASGIViolation(f"{kind} was sent twice", section)
            _check_status(message, section)
            _check_headers(message, self._spelled_by_app, section)
            self._denying = True
            return
        if not self._denying:
            raise ASGIViolation(f"{kind} was sent before websocket.http.response.start", section)
        _check(message, "body", bytes, section)
        _check(message, "more_body", bool, section)
        self.closed = not message.get("more_body", False)


class LifespanLint:
    """What an app may send on a ``lifespan`` scope."""

    def __init__(self) -> None:
        self.expecting = ""  # "startup" or "shutdown", once the app has received it

    def sent(self, message: Message) -> None:
        kind = _kind(message)
        section = f"{_LIFESPAN}#{'startup' if 'startup' in kind else 'shutdown'}"
        if kind not in {
            f"lifespan.{when}.{how}"
            for when in ("startup", "shutdown")
            for how in ("complete", "failed")
        }:
            raise _unknown(kind, "lifespan")
        if kind.split(".")[1] != self.expecting:
            raise ASGIViolation(f"{kind} was sent, but the server had not asked for it", section)
        if kind.endswith("failed"):
            _check(message, "message", str, section)
        self.expecting = ""

    def ended(self) -> None:
        """An app that does not support lifespan may return without sending anything."""


def frozen(value: object) -> object:
    """Return a deep copy of *value* to compare it with later."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        # The app may fill the state, but must not replace the dict.
        return {key: id(item) if key == "state" else frozen(item) for key, item in pairs}
    if isinstance(value, list | tuple):
        items = cast("list[object] | tuple[object, ...]", value)
        return (isinstance(value, list), [frozen(item) for item in items])
    return value


def check_unedited(what: str, value: object, before: object) -> None:
    if frozen(value) != before:
        raise ASGIViolation(
            f"{what} was edited in place; pass on a changed copy", f"{_MAIN}#middleware"
        )


def _extensions(scope: Scope) -> Mapping[str, Any]:
    return scope.get("extensions") or {}


def _unknown(kind: str, protocol: str) -> ASGIViolation:
    return ASGIViolation(
        f"{kind!r} is not a message that an app sends on a scope of type {protocol!r}",
        f"{_LIFESPAN if protocol == 'lifespan' else _WWW}",
    )


def _kind(message: object) -> str:
    section = f"{_MAIN}#events"
    if not isinstance(message, dict):
        raise ASGIViolation(f"a message is a dict, not a {type(message).__name__}", section)
    kind = cast("dict[str, Any]", message).get("type")
    if not isinstance(kind, str):
        raise ASGIViolation(f"a message needs a 'type' that is a str, not {kind!r}", section)
    return kind


def _check(
    message: Message, key: str, expected: type, section: str, *, needed: bool = False
) -> None:
    if key not in message and not needed:
        return
    value = message.get(key)
    # bool is a subclass of int, but `status: True` is nonsense.
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ASGIViolation(
            f"{message['type']}: {key} must be of type {expected.__name__}, not {value!r:.80}",
            section,
        )


def _check_status(message: Message, section: str) -> None:
    _check(message, "status", int, section, needed=True)
    if not 200 <= message["status"] <= 599:
        raise ASGIViolation(f"{message['status']} is not the status of a final response", section)


def _check_headers(message: Message, spelled_by_app: AbstractSet[bytes], section: str) -> None:
    where = message["type"]
    headers: object = message.get("headers", ())
    if not isinstance(headers, list | tuple):
        # Any iterable is allowed, but reading an iterator here would take it from the server.
        return
    for pair in cast("list[object]", headers):
        if not isinstance(pair, list | tuple) or len(cast("list[object]", pair)) != 2:
            raise ASGIViolation(f"{where}: {pair!r:.80} is not a pair of name and value", section)
        _check_header(*cast("tuple[object, object]", pair), where, spelled_by_app, section)


def _check_header(
    name: object, value: object, where: str, spelled_by_app: AbstractSet[bytes], section: str
) -> None:
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise ASGIViolation(
            f"{where}: header names and values are bytes, not {name!r:.80}: {value!r:.80}", section
        )
    if not is_token(name):
        raise ASGIViolation(f"{where}: {name!r:.80} is not a valid header name", section)
    if name != name.lower() and name not in spelled_by_app:
        raise ASGIViolation(f"{where}: header names are lower case, {name!r:.80} is not", section)
    if any(byte in value for byte in b"\r\n\0"):
        raise ASGIViolation(
            f"{where}: the value of {name!r} contains a line break or NUL: {value!r:.80}", section
        )
