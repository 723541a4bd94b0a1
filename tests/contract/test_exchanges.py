"""A middleware changes no exchange of an app, except for its documented headers."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from asgi_middleware._headers import values
from asgi_middleware.types import ASGIApp, Header, Message

from .exchanges import (
    CONNECT,
    HTTP_SCOPE,
    RECEIVE,
    WEBSOCKET_SCOPE,
    Exchange,
    Step,
    Traffic,
    members,
    traffic,
)
from .middleware import ORIGIN, ROWS, Row

# The headers that a middleware sets, and others whose spelling and number must not change.
NAMES = sorted(
    {name for row in ROWS for name in (*row.sets_in_request, *row.sets_in_response, *row.extends)}
    | {b"content-length", b"content-type", b"set-cookie", b"x-app", b"cookie", b"accept"}
)
SPELLINGS = (bytes.lower, bytes.upper, bytes.title)

booleans = st.booleans()
small_bytes = st.binary(max_size=6)
small_text = st.text(max_size=6)
header_values = st.sampled_from([b"", b"*", b"Origin", b"a", b"a, b", b'a;q="1"', b"a=1; b"])
names_from_the_app = st.builds(
    lambda name, spell: spell(name), st.sampled_from(NAMES), st.sampled_from(SPELLINGS)
)
app_headers = st.lists(st.tuples(names_from_the_app, header_values), max_size=8)
unknown_fields = st.dictionaries(st.just("x-unknown"), st.integers(), max_size=1)


def unchanged(app: ASGIApp) -> ASGIApp:
    return app


def message(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a message with some or all of *fields*, and perhaps an unknown field."""
    known = st.fixed_dictionaries({"type": st.just(kind)}, optional=fields)
    return st.builds(lambda a, b: {**a, **b}, known, unknown_fields)


# --- requests ---

request_headers = st.builds(
    lambda origin, request_id, others: [*origin, *request_id, *others],
    st.sampled_from([[], [(b"origin", ORIGIN.encode())], [(b"origin", b"https://evil.example")]]),
    st.lists(st.tuples(st.just(b"x-request-id"), st.sampled_from([b"abc", b"a b"])), max_size=2),
    st.lists(st.tuples(st.sampled_from([b"cookie", b"accept", b"x-app"]), header_values)),
)
states: list[dict[str, Any]] = [{}, {"state": {}}, {"state": {"client": "shared"}}]


def scopes(base: dict[str, Any], methods: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda headers, method, state: {**base, "headers": headers, "method": method, **state},
        request_headers,
        st.sampled_from(methods),
        st.sampled_from(states),
    )


# --- HTTP ---

parts = st.lists(small_bytes, min_size=1, max_size=3)
http_scopes = scopes(HTTP_SCOPE, ["GET", "HEAD", "OPTIONS", "POST", "PURGE"])
starts = message("http.response.start", headers=app_headers)
bodies = st.lists(message("http.response.body", body=small_bytes), min_size=1, max_size=3)
trailers = message("http.response.trailers", headers=app_headers)


@st.composite
def responses(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return all messages of a response."""
    *body, end = draw(bodies)
    last = draw(st.lists(trailers, max_size=1))
    return [
        {
            **draw(starts),
            "status": draw(st.integers(200, 599)),
            **({"trailers": True} if last else {}),
        },
        *({**part, "more_body": True} for part in body),
        end,
        *last,
    ]


@st.composite
def interleaved(draw: st.DrawFn, sent: list[dict[str, Any]], receives: int) -> tuple[Step, ...]:
    """Return *sent* in order, with up to *receives* calls of receive in between."""
    steps: list[Step] = list(sent)
    for _ in range(draw(st.integers(0, receives))):
        steps.insert(draw(st.integers(0, len(steps))), RECEIVE)
    return tuple(steps)


@st.composite
def perhaps_cut_short(draw: st.DrawFn, exchange: Exchange) -> Exchange:
    """Return *exchange*; the app may raise, the client may leave, or the server may cancel."""
    number = draw(st.integers(1, exchange.awaits))
    ignores = replace(exchange, ignores_disconnect=draw(booleans))
    match draw(st.sampled_from(["no", "raises", "disconnect", "cancel"])):
        case "raises":
            return replace(ignores, steps=(*exchange.steps[:number], ValueError("mine")))
        case "disconnect":
            return replace(ignores, disconnect_at=number)
        case "cancel":
            # Here the app returns at a disconnect, or the two counts could differ after one.
            return replace(exchange, cancel_at=number)
        case _:
            return ignores


@st.composite
def http_exchanges(draw: st.DrawFn) -> Exchange:
    body = draw(parts)
    incoming = tuple(
        {"type": "http.request", "body": part, "more_body": number < len(body)}
        for number, part in enumerate(body, start=1)
    )
    # During the response, the app calls receive at most once for each part, or it would wait
    # forever. After the response it may call it any number of times. OPTIONS is never a preflight
    # here, because an app does not see preflights.
    during = draw(interleaved(draw(responses()), len(body)))
    afterwards: list[Step] = [RECEIVE] * draw(st.integers(0, 2))
    steps = (*during, *afterwards)
    return draw(perhaps_cut_short(Exchange(draw(http_scopes), incoming, steps)))


# --- WebSockets ---

# Some servers put the method of the handshake into the scope.
websocket_scopes = scopes(WEBSOCKET_SCOPE, ["GET"])
received = st.lists(
    message("websocket.receive", text=small_text) | message("websocket.receive", bytes=small_bytes),
    max_size=3,
)
closes = message("websocket.close", code=st.integers(3000, 4999), reason=small_text)
accepts = message(
    "websocket.accept", headers=app_headers, subprotocol=st.sampled_from([None, "v1"])
)
texts = st.builds(
    lambda message, text: {**message, "text": text}, message("websocket.send"), small_text
)
binaries = st.builds(
    lambda message, data: {**message, "bytes": data}, message("websocket.send"), small_bytes
)
accepted = st.builds(
    lambda accept, sent, close: [accept, *sent, *close],
    accepts,
    st.lists(texts | binaries, max_size=4),
    st.lists(closes, max_size=1),
)
denials = st.builds(
    lambda start, status, body: [
        {**start, "status": status},
        *({**part, "more_body": True} for part in body[:-1]),
        body[-1],
    ],
    message("websocket.http.response.start", headers=app_headers),
    st.integers(400, 599),
    st.lists(message("websocket.http.response.body", body=small_bytes), min_size=1, max_size=3),
)
replies = accepted | denials | st.tuples(closes).map(list)


@st.composite
def websocket_exchanges(draw: st.DrawFn) -> Exchange:
    incoming = (CONNECT, *draw(received))
    # The client leaves after its messages, so there is always something to receive.
    steps = (RECEIVE, *draw(interleaved(draw(replies), len(incoming) + 1)))
    return draw(perhaps_cut_short(Exchange(draw(websocket_scopes), incoming, steps)))


# --- the tests ---


@settings(max_examples=200)
@given(exchange=http_exchanges())
async def test_an_http_exchange_is_the_same_with_and_without_each_middleware(
    exchange: Exchange,
) -> None:
    await check_each(exchange)


@settings(max_examples=200)
@given(exchange=websocket_exchanges())
async def test_a_websocket_exchange_is_the_same_with_and_without_each_middleware(
    exchange: Exchange,
) -> None:
    await check_each(exchange)


async def check_each(exchange: Exchange) -> None:
    # One test checks all rows, because an exchange takes longer to generate than to drive.
    bare = await traffic(unchanged, exchange)
    for row in ROWS:
        note(f"with {row.name}")
        check(row, bare, await traffic(row.make, exchange))


def check(row: Row, bare: Traffic, wrapped: Traffic) -> None:
    assert [_without_headers(message) for message in wrapped.sent] == [
        _without_headers(message) for message in bare.sent
    ]
    for ours, theirs in zip(wrapped.sent, bare.sent, strict=True):
        if theirs["type"].endswith(("response.start", "accept")):
            check_headers(row, list(ours.get("headers", ())), list(theirs.get("headers", ())))
        else:
            assert ours is theirs
    assert _until_gone(wrapped.received) == _until_gone(bare.received)
    assert repr(wrapped.exception) == repr(bare.exception)
    # After a disconnect, a middleware may answer calls of receive itself.
    again, bare_again = wrapped.receives_after_disconnect, bare.receives_after_disconnect
    assert again <= bare_again
    assert wrapped.awaits - again == bare.awaits - bare_again
    assert wrapped.receives - again == bare.receives - bare_again


def _until_gone(received: tuple[Message, ...]) -> list[Message]:
    kept: list[Message] = []
    for each in received:
        kept.append(each)
        if each["type"].endswith(".disconnect"):
            break
    return kept


def check_headers(row: Row, ours: list[Header], theirs: list[Header]) -> None:
    documented = {*row.sets_in_response, *row.extends}
    assert _others(ours, documented) == _others(theirs, documented)
    for name in row.sets_in_response:
        assert len(values(ours, name)) <= max(1, len(values(theirs, name)))
    for name in row.extends:
        listed = members(values(theirs, name))
        assert members(values(ours, name))[: len(listed)] == listed
    assert len(values(ours, b"vary")) <= max(1, len(values(theirs, b"vary")))


def _others(headers: Iterable[Header], names: set[bytes]) -> list[Header]:
    return [header for header in headers if header[0].lower() not in names]


def _without_headers(message: Message) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "headers"}
