"""The rules of ASGI that an application can break: a table of messages, and an order for each
protocol.

A lint is given the messages in the order in which the app sends them, and raises
:class:`ASGIViolation` at the first message that breaks a rule.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, NamedTuple, cast

from .._headers import is_token
from ..types import Message, Scope

_SPECS = "https://asgi.readthedocs.io/en/latest"
_MAIN = f"{_SPECS}/specs/main.html"
_WWW = f"{_SPECS}/specs/www.html"
_LIFESPAN = f"{_SPECS}/specs/lifespan.html"
_EXTENSIONS = f"{_SPECS}/extensions.html"


class ASGIViolation(AssertionError):  # noqa: N818 -- the usual word
    """An application, or a middleware around it, broke a rule of ASGI.

    ``rule`` says what is wrong, in one sentence. ``section`` is the address of the section of the
    specification.
    """

    def __init__(self, rule: str, section: str) -> None:
        self.rule = rule
        self.section = section
        super().__init__(f"{rule} ({section})")


class _Rule(NamedTuple):
    """What a message may contain, and when it may be sent.

    ``wrong`` maps each state in which it may not be sent to what is wrong then. A message of an
    extension may be sent only if the server offers the extension.
    """

    section: str
    fields: Mapping[str, type] = {}
    wrong: Mapping[str, str] = {}
    needed: AbstractSet[str] = frozenset()
    extension: str | None = None


_EARLY = "was sent before http.response.start"
_TWICE = "was sent twice"
_BODY_TWICE = "was sent after the end of the body"
_UNANNOUNCED = "was sent, but http.response.start did not have trailers=True"
_BODY = {"waiting": _EARLY, "trailers": _BODY_TWICE}

# fmt: off
_HTTP = {
    "http.response.start": _Rule(
        f"{_WWW}#response-start-send-event", {"status": int, "trailers": bool},
        {"body": _TWICE, "announced": _TWICE, "trailers": _TWICE}, needed={"status"},
    ),
    "http.response.body": _Rule(
        f"{_WWW}#response-body-send-event", {"body": bytes, "more_body": bool}, _BODY,
    ),
    "http.response.pathsend": _Rule(
        f"{_EXTENSIONS}#path-send", {"path": str}, _BODY,
        needed={"path"}, extension="http.response.pathsend",
    ),
    "http.response.zerocopysend": _Rule(
        f"{_EXTENSIONS}#zero-copy-send", {"more_body": bool}, _BODY,
        extension="http.response.zerocopysend",
    ),
    "http.response.trailers": _Rule(
        f"{_EXTENSIONS}#http-trailers", {"more_trailers": bool},
        {
            "waiting": _UNANNOUNCED, "body": _UNANNOUNCED,
            "announced": "was sent before the end of the body",
        },
        extension="http.response.trailers",
    ),
    **{
        kind: _Rule(_EXTENSIONS, extension=kind)
        for kind in ("http.response.push", "http.response.early_hint", "http.response.debug")
    },
}

_LATE = "was sent after the handshake"
_ACCEPTED = "was sent after websocket.accept"
_UNACCEPTED = "was sent before websocket.accept"
_DENIAL = "websocket.http.response"

_WEBSOCKET = {
    "websocket.accept": _Rule(
        f"{_WWW}#accept-send-event", {"subprotocol": str}, {"denying": _LATE, "open": _LATE},
    ),
    "websocket.send": _Rule(
        f"{_WWW}#send-send-event", {"bytes": bytes, "text": str},
        {"waiting": _UNACCEPTED, "denying": _UNACCEPTED},
    ),
    "websocket.close": _Rule(
        f"{_WWW}#close-send-event", {"code": int, "reason": str},
        {"denying": "was sent in the middle of a denial response"},
    ),
    f"{_DENIAL}.start": _Rule(
        f"{_EXTENSIONS}#websocket-denial-response", {"status": int},
        {"denying": _TWICE, "open": _ACCEPTED}, needed={"status"}, extension=_DENIAL,
    ),
    f"{_DENIAL}.body": _Rule(
        f"{_EXTENSIONS}#websocket-denial-response", {"body": bytes, "more_body": bool},
        {"waiting": f"was sent before {_DENIAL}.start", "open": _ACCEPTED}, extension=_DENIAL,
    ),
}
# fmt: on

_UNASKED = "was sent, but the server had not asked for it"
_LIFE = {
    f"lifespan.{when}.{how}": _Rule(
        f"{_LIFESPAN}#{when}", {"message": str}, {"": _UNASKED, other: _UNASKED}
    )
    for when, other in (("startup", "shutdown"), ("shutdown", "startup"))
    for how in ("complete", "failed")
}
# Fields that may also be None.
_OPTIONAL = {"subprotocol", "bytes", "text", "reason"}


class Lint:
    """What an app may send on a scope of one type. ``state`` is how far the app has come."""

    protocol: ClassVar[str]
    rules: ClassVar[Mapping[str, _Rule]]
    over: ClassVar[tuple[str, str, str]]
    """The last state, what is wrong with a message then, and the section that says so."""
    first: ClassVar[str] = "waiting"

    def __init__(self, scope: Scope, spelled_by_app: AbstractSet[bytes], *, strict: bool) -> None:
        self.state = self.first
        self._extensions: Mapping[str, Any] = scope.get("extensions") or {}
        self._spelled_by_app = spelled_by_app
        self._strict = strict

    def sent(self, message: Message) -> None:
        kind = _kind(message)
        last, wrong, section = self.over
        if self.state == last:
            raise ASGIViolation(f"{kind} {wrong}", section)
        rule = self.rules.get(kind)
        if rule is None:
            raise ASGIViolation(
                f"{kind!r} is not a message that an app sends on a scope of type {self.protocol!r}",
                section.partition("#")[0],
            )
        if rule.extension is not None and rule.extension not in self._extensions:
            raise ASGIViolation(
                f"{kind} was sent, but the server does not offer it in scope['extensions']",
                rule.section,
            )
        if self.state in rule.wrong:
            raise ASGIViolation(f"{kind} {rule.wrong[self.state]}", rule.section)
        self._check_fields(message, rule)
        self._check_headers(message, rule.section)
        self.state = self.after(kind.rpartition(".")[2], message)

    def after(self, what: str, message: Message) -> str:
        """Return the state after a message that breaks no rule."""
        raise NotImplementedError

    def ended(self) -> None:
        """Check what must be true once the app has returned, if the client has not left."""

    def _check_fields(self, message: Message, rule: _Rule) -> None:
        for field, kind in rule.fields.items():
            value = message.get(field)
            missing = field not in message or (value is None and field in _OPTIONAL)
            if missing and field not in rule.needed:
                continue
            # bool is a subclass of int, but `status: True` is nonsense.
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                what = f"{message['type']}: {field} must be of type {kind.__name__}"
                raise ASGIViolation(f"{what}, not {value!r:.80}", rule.section)
        if "status" in rule.needed and not 200 <= message["status"] <= 599:
            raise ASGIViolation(
                f"{message['status']} is not the status of a final response", rule.section
            )

    def _check_headers(self, message: Message, section: str) -> None:
        headers: object = message.get("headers", ())
        if not isinstance(headers, list | tuple):
            # Any iterable is allowed, but reading an iterator here would exhaust it.
            return
        for pair in cast("list[object]", headers):
            if not isinstance(pair, list | tuple) or len(cast("list[object]", pair)) != 2:
                problem: str | None = f"{pair!r:.80} is not a pair of name and value"
            else:
                problem = self._header_problem(*cast("tuple[object, object]", pair))
            if problem is not None:
                raise ASGIViolation(f"{message['type']}: {problem}", section)

    def _header_problem(self, name: object, value: object) -> str | None:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            return f"header names and values must be bytes, not {name!r:.80}: {value!r:.80}"
        if not is_token(name):
            return f"{name!r:.80} is not a valid header name"
        if self._strict and name != name.lower() and name not in self._spelled_by_app:
            return f"header names must be in lower case, not {name!r:.80}"
        if any(byte in value for byte in b"\r\n\0"):
            return f"the value of {name!r} contains a line break or NUL: {value!r:.80}"
        return None


class HTTPLint(Lint):
    """waiting -> body -> complete, or waiting -> announced -> trailers -> complete."""

    protocol = "http"
    rules = _HTTP
    over = (
        *("complete", "was sent after the response was complete"),
        f"{_WWW}#response-body-send-event",
    )

    @property
    def complete(self) -> bool:
        return self.state == "complete"

    def after(self, what: str, message: Message) -> str:
        match what:
            case "start":
                return "announced" if message.get("trailers") else "body"
            case "trailers":
                return "trailers" if message.get("more_trailers") else "complete"
            case "body" | "pathsend" | "zerocopysend" if not message.get("more_body"):
                return "trailers" if self.state == "announced" else "complete"
            case _:
                return self.state

    def ended(self) -> None:
        if self.state == "waiting":
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


class WebSocketLint(Lint):
    """waiting -> open -> closed, or waiting -> denying -> closed."""

    protocol = "websocket"
    rules = _WEBSOCKET
    over = ("closed", "was sent after the socket was closed", f"{_WWW}#close-send-event")

    @property
    def closed(self) -> bool:
        return self.state == "closed"

    def after(self, what: str, message: Message) -> str:
        match what:
            case "accept":
                return "open"
            case "close":
                return "closed"
            case "start":
                return "denying"
            case "body" if not message.get("more_body"):
                return "closed"
            case "send" if (message.get("bytes") is None) == (message.get("text") is None):
                raise ASGIViolation(
                    "websocket.send needs either bytes or text", f"{_WWW}#send-send-event"
                )
            case _:
                return self.state

    def ended(self) -> None:
        if self.state == "waiting":
            raise ASGIViolation(
                "the app returned without accepting or closing the socket",
                f"{_WWW}#connect-receive-event",
            )


class LifespanLint(Lint):
    """``state`` is "startup" or "shutdown" from the server's message to the app's reply."""

    protocol = "lifespan"
    rules = _LIFE
    over = ("over", "", _LIFESPAN)

    first = ""

    def asked(self, message: Message) -> None:
        self.state = message["type"].removeprefix("lifespan.")

    def after(self, what: str, message: Message) -> str:  # noqa: ARG002 -- any reply will do
        return ""


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


def _kind(message: object) -> str:
    section = f"{_MAIN}#events"
    if not isinstance(message, dict):
        raise ASGIViolation(f"a message must be a dict, not a {type(message).__name__}", section)
    kind = cast("dict[str, Any]", message).get("type")
    if not isinstance(kind, str):
        raise ASGIViolation(f"a message needs a 'type' that is a str, not {kind!r}", section)
    return kind
