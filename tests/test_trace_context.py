"""The rules of https://www.w3.org/TR/trace-context-1/ as tables, and the middleware."""

import re
import tracemalloc
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any

import pytest

from asgi_middleware import TraceContext, TraceContextMiddleware, get_trace_context
from asgi_middleware.testing import recording, request, websocket
from asgi_middleware.trace_context import (
    _continued_trace,
    _members_of,
    _new_trace,
    _shortened,
)
from asgi_middleware.types import Header, Message, Receive, Scope, Send

from .apps import doing, echo, hello
from .growth import assert_linear

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"
TRACEPARENT = (b"traceparent", VALID.encode())


def parsed(*traceparents: str, tracestate: Sequence[str] = ()) -> TraceContext | None:
    sent = [(b"traceparent", value.encode("latin-1")) for value in traceparents]
    return _continued_trace(
        [*sent, *((b"tracestate", value.encode("latin-1")) for value in tracestate)]
    )


# --- traceparent ---


@pytest.mark.parametrize(
    ("traceparent", "continues"),
    [
        pytest.param(VALID, True, id="version 00"),
        pytest.param(f" \t{VALID}\t ", True, id="blanks around it"),
        pytest.param("", False, id="empty"),
        pytest.param(f"{VALID}.", False, id="00 ends after the flags"),
        pytest.param(f"{VALID}-", False, id="00 ends without a dash"),
        pytest.param(f"{VALID}-what-comes", False, id="00 has no more fields"),
        pytest.param(f"{VALID}\n", False, id="line break"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01", True, id="later version"),
        pytest.param(f"01-{TRACE}-{PARENT}-01-what-comes", True, id="later version continues"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-", True, id="later version with a last dash"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01.what-comes", False, id="later version, no dash"),
        pytest.param(f"cc-{TRACE}-{PARENT}-0", False, id="later version, too short"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-\r\n", False, id="later version, line break"),
        pytest.param(f"ff-{TRACE}-{PARENT}-01", False, id="version ff"),
        pytest.param(f"CC-{TRACE}-{PARENT}-01", False, id="version in upper case"),
        pytest.param(f".0-{TRACE}-{PARENT}-01", False, id="version not hexadecimal"),
        pytest.param(f"0.-{TRACE}-{PARENT}-01", False, id="version not hexadecimal at its end"),
        pytest.param(f"000-{TRACE}-{PARENT}-01", False, id="version too long"),
        pytest.param(f"0-{TRACE}-{PARENT}-01", False, id="version too short"),
        pytest.param(f"00-{'0' * 32}-{PARENT}-01", False, id="trace ID of zeros"),
        pytest.param(f"00-{TRACE.upper()}-{PARENT}-01", False, id="trace ID in upper case"),
        pytest.param(f"00-.{TRACE[1:]}-{PARENT}-01", False, id="trace ID not hexadecimal"),
        pytest.param(f"00-{TRACE}0-{PARENT}-01", False, id="trace ID too long"),
        pytest.param(f"00-{TRACE[1:]}-{PARENT}-01", False, id="trace ID too short"),
        pytest.param(f"00-{'0' * 31}1-{PARENT}-01", True, id="trace ID of zeros except one digit"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", False, id="parent ID of zeros"),
        pytest.param(f"00-{TRACE}-{PARENT.upper()}-01", False, id="parent ID in upper case"),
        pytest.param(f"00-{TRACE}-{PARENT[1:]}.-01", False, id="parent ID not hexadecimal"),
        pytest.param(f"00-{TRACE}-{PARENT}0-01", False, id="parent ID too long"),
        pytest.param(f"00-{TRACE}-{PARENT[1:]}-01", False, id="parent ID too short"),
        pytest.param(f"00-{TRACE}-{PARENT}-.0", False, id="flags not hexadecimal"),
        pytest.param(f"00-{TRACE}-{PARENT}-0.", False, id="flags not hexadecimal at their end"),
        pytest.param(f"00-{TRACE}-{PARENT}-0A", False, id="flags in upper case"),
        pytest.param(f"00-{TRACE}-{PARENT}-001", False, id="flags too long"),
        pytest.param(f"00-{TRACE}-{PARENT}-1", False, id="flags too short"),
        pytest.param(f"00_{TRACE}_{PARENT}_01", False, id="no dashes"),
        pytest.param("00" * 50_000, False, id="100 kB"),
    ],
)
def test_only_a_valid_traceparent_continues_a_trace(traceparent: str, continues: bool) -> None:
    assert (parsed(traceparent) is not None) == continues


def test_a_trace_id_has_only_hexadecimal_digits() -> None:
    digits = b"0123456789abcdef"

    for byte in range(256):
        sent = VALID.encode()[:10] + bytes([byte]) + VALID.encode()[11:]
        assert (_continued_trace([(b"traceparent", sent)]) is not None) == (byte in digits)


@pytest.mark.parametrize(
    "traceparents",
    [
        pytest.param([], id="none"),
        pytest.param([VALID, f"00-{TRACE[::-1]}-{PARENT}-01"], id="two"),
        pytest.param([VALID, VALID], id="the same one twice"),
    ],
)
def test_only_exactly_one_traceparent_continues_a_trace(traceparents: Sequence[str]) -> None:
    assert parsed(*traceparents) is None


@pytest.mark.parametrize("name", [b"TraceParent", b"TRACEPARENT", b"traceparent"])
def test_the_name_traceparent_may_be_in_any_case(name: bytes) -> None:
    assert _continued_trace([(name, VALID.encode())]) is not None


@pytest.mark.parametrize("name", [b"trace-parent", b"trace_parent", b"trace.parent"])
def test_a_header_name_with_a_delimiter_is_not_traceparent(name: bytes) -> None:
    assert _continued_trace([(name, VALID.encode())]) is None


@pytest.mark.parametrize(
    ("sent", "kept", "sampled", "random"),
    [
        pytest.param("00", "00", False, False, id="none"),
        pytest.param("01", "01", True, False, id="sampled"),
        pytest.param("02", "02", False, True, id="random"),
        pytest.param("03", "03", True, True, id="both"),
        pytest.param("09", "01", True, False, id="sampled and a reserved flag"),
        pytest.param("ff", "03", True, True, id="all"),
        pytest.param("fc", "00", False, False, id="reserved flags"),
    ],
)
def test_the_flags_sampled_and_random_are_kept(
    sent: str, kept: str, sampled: bool, random: bool
) -> None:
    trace = parsed(f"00-{TRACE}-{PARENT}-{sent}")

    assert trace is not None
    assert (trace.sampled, trace.random, trace.traceparent[-3:]) == (sampled, random, f"-{kept}")


def test_a_continued_trace_has_version_00_the_same_trace_id_and_a_new_parent_id() -> None:
    trace = parsed(f"cc-{TRACE}-{PARENT}-01-what-comes")

    assert trace is not None
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", trace.traceparent)
    assert trace.parent_id != PARENT


def test_a_new_trace_is_random_and_not_sampled() -> None:
    trace = _new_trace()

    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-02", trace.traceparent)
    assert (trace.sampled, trace.random, trace.tracestate) == (False, True, "")
    assert _new_trace().trace_id != trace.trace_id


# --- tracestate ---

MANY = ",".join(f"key{number:02}={number:02}" for number in range(32))
# Every character that a value may have. The first is a space.
CHARACTERS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")


@pytest.mark.parametrize(
    ("tracestate", "kept"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["foo=1"], "foo=1", id="one member"),
        pytest.param(["foo=1,bar=2"], "foo=1,bar=2", id="two members"),
        pytest.param(["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
                     "foo=1,bar=2,rojo=1,congo=2,baz=3", id="fields joined in order"),
        pytest.param([""], "", id="empty"),
        pytest.param(["foo=1", ""], "foo=1", id="empty field at the end"),
        pytest.param(["", "foo=1"], "foo=1", id="empty field first"),
        pytest.param(["foo=1,,bar=2, \t,"], "foo=1,bar=2", id="empty members"),
        pytest.param(["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3", id="blanks"),
        pytest.param(["\t foo=1 \t"], "foo=1", id="blanks around all"),
        pytest.param(["foo=  1"], "foo=  1", id="blanks before a value are part of it"),
        pytest.param([f"foo={CHARACTERS}"], f"foo={CHARACTERS}", id="every character of a value"),
        pytest.param(["abz019_-*/=1"], "abz019_-*/=1", id="every character of a key"),
        pytest.param(["0a_-*/@b9_-*/=1"], "0a_-*/@b9_-*/=1", id="key of a tenant"),
        pytest.param(["foo=1,foo=1"], "", id="key repeated"),
        pytest.param(["foo=1,foo=2"], "", id="key repeated with another value"),
        pytest.param(["foo=1", "foo=2"], "", id="key repeated in another field"),
        pytest.param(["foo=1,foo@bar=2"], "foo=1,foo@bar=2", id="another key of a tenant"),
        pytest.param(["foo"], "", id="no value"),
        pytest.param(["=1"], "", id="no key"),
        pytest.param(["foo=,bar=3"], "", id="empty value"),
        pytest.param(["foo=bar=baz"], "", id="equals sign in a value"),
        pytest.param(["foo=caf\xe9"], "", id="value not ASCII"),
        pytest.param(["foo=a\tb"], "", id="tab in a value"),
        pytest.param(["foo=a\r\nb"], "", id="line break in a value"),
        pytest.param(["foo=1\x7f"], "", id="DEL in a value"),
        pytest.param(["foo =1"], "", id="blank in a key"),
        pytest.param(["FOO=1"], "", id="key in upper case"),
        pytest.param(["foo.bar=1"], "", id="dot in a key"),
        pytest.param(["0foo=1"], "", id="key starts with a digit"),
        pytest.param(["foo@=1,bar=2"], "", id="no system"),
        pytest.param(["@foo=1,bar=2"], "", id="no tenant"),
        pytest.param(["foo@@bar=1,bar=2"], "", id="two at signs"),
        pytest.param(["foo@bar@baz=1,bar=2"], "", id="two systems"),
        pytest.param(["foo@0bar=1"], "", id="system starts with a digit"),
        pytest.param(["good=1,BAD=2"], "", id="one bad member drops all members"),
        pytest.param([MANY], MANY, id="32 members"),
        pytest.param([MANY, "one=more"], "", id="33 members"),
        pytest.param([f"{'z' * 256}=1"], f"{'z' * 256}=1", id="longest key"),
        pytest.param([f"{'z' * 257}=1"], "", id="key too long"),
        pytest.param([f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1",
                     id="longest tenant and system"),
        pytest.param([f"{'t' * 242}@v=1"], "", id="tenant too long"),
        pytest.param([f"t@{'v' * 15}=1"], "", id="system too long"),
        pytest.param([f"foo={'v' * 256}"], f"foo={'v' * 256}", id="longest value"),
        pytest.param([f"foo={'v' * 257}"], "", id="value too long"),
    ],
)  # fmt: skip
def test_tracestate_is_joined_or_dropped_as_a_whole(tracestate: Sequence[str], kept: str) -> None:
    trace = parsed(VALID, tracestate=tracestate)

    assert trace is not None  # an invalid tracestate does not end the trace
    assert (trace.trace_id, trace.tracestate) == (TRACE, kept)


# 32 of the longest members: 16,447 bytes.
LONGEST = b",".join(b"%s%02d=%s" % (b"k" * 254, number, b"v" * 256) for number in range(32))


@pytest.mark.parametrize(
    ("tracestate", "kept"),
    [
        pytest.param([LONGEST], 32, id="32 of the longest members"),
        pytest.param([LONGEST[:8223], LONGEST[8224:]], 32, id="in two lines"),
        pytest.param([LONGEST, b" "], 0, id="one line too many"),
        pytest.param([b"a=1", b" " * 16_448], 0, id="blanks"),
        pytest.param([b"a=1", *[b""] * 16_448], 0, id="empty lines"),
        pytest.param([b"a=1", *[b""] * 100], 1, id="some empty lines"),
    ],
)
def test_tracestate_is_read_up_to_the_length_of_32_members(
    tracestate: list[bytes], kept: int
) -> None:
    assert len(_members_of(tracestate)) == kept


@pytest.mark.parametrize(
    "tracestate",
    [
        pytest.param([b"ab," * 3_333_333], id="one line"),
        pytest.param([b"ab," * 33_333] * 100, id="a hundred lines"),
        pytest.param([b"," * 10_000_000], id="commas"),
        pytest.param([b" " * 10_000_000], id="blanks"),
    ],
)
def test_ten_megabytes_of_tracestate_are_refused_before_they_are_split(
    tracestate: list[bytes],
) -> None:
    headers = [(b"traceparent", VALID.encode()), *((b"tracestate", each) for each in tracestate)]

    tracemalloc.start()
    try:
        trace = _continued_trace(headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert trace is not None
    assert (trace.trace_id, trace.tracestate) == (TRACE, "")
    assert peak < 20_000


@pytest.mark.parametrize("end", ["-", "-a", " ", "\t"])
def test_a_traceparent_of_ten_megabytes_continues_no_trace(end: str) -> None:
    assert parsed(f"01-{TRACE}-{PARENT}-01{end * (10_000_000 // len(end))}") is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(lambda size: [(b"traceparent", b"00")] * size, id="traceparents"),
        pytest.param(lambda size: [(b"traceparent", b"0" * size)], id="a long traceparent"),
        pytest.param(lambda size: [TRACEPARENT, (b"tracestate", b"a," * size)], id="members"),
        pytest.param(lambda size: [TRACEPARENT, *[(b"tracestate", b"a")] * size], id="lines"),
        pytest.param(lambda size: [TRACEPARENT, *[(b"tracestate", b"")] * size], id="empty lines"),
        pytest.param(lambda size: [TRACEPARENT, (b"tracestate", b"a" * size)], id="a long member"),
    ],
)
def test_the_work_for_a_request_grows_no_faster_than_its_headers(
    headers: Callable[[int], list[Header]],
) -> None:
    app = TraceContextMiddleware(hello)

    def serve(size: int) -> None:
        calling = app({"type": "http", "headers": headers(size)}, receive, send)
        with pytest.raises(StopIteration):
            Context().run(calling.send, None)

    assert_linear(serve)


SHORT = [b"k%02d=%s" % (number, b"v" * 46) for number in range(20)]  # 50 bytes each
LONG = [b"l%02d=%s" % (number, b"v" * 125) for number in range(3)]  # 129 bytes each


@pytest.mark.parametrize(
    ("members", "kept"),
    [
        pytest.param([], [], id="none"),
        pytest.param(SHORT[:10], SHORT[:10], id="509 bytes"),
        pytest.param(
            [*SHORT[:9], b"k=" + b"v" * 51], [*SHORT[:9], b"k=" + b"v" * 51], id="512 bytes"
        ),
        pytest.param([*SHORT[:9], b"k=" + b"v" * 52], SHORT[:9], id="513 bytes"),
        pytest.param(SHORT, SHORT[:10], id="cut from the end"),
        pytest.param([*LONG[:1], *SHORT[:10]], SHORT[:10], id="a long one first"),
        pytest.param(
            [LONG[0], *SHORT[:5], LONG[1]], [LONG[0], *SHORT[:5]], id="the last long one first"
        ),
        pytest.param([*LONG, *SHORT[:20]], SHORT[:10], id="all long ones before short ones"),
    ],
)
def test_tracestate_is_shortened_to_512_bytes_in_whole_members(
    members: Sequence[bytes], kept: Sequence[bytes]
) -> None:
    assert _shortened(list(members)) == kept


def test_tracestate_without_a_valid_traceparent_is_ignored() -> None:
    assert parsed("no traceparent", tracestate=["foo=1"]) is None


# --- the middleware ---


async def receive() -> Message:
    return {"type": "http.disconnect"}


async def send(message: Message) -> None:
    pass


def traces(headers: Sequence[Header]) -> list[Header]:
    return [header for header in headers if header[0].lower().startswith(b"trace")]


async def seen_by_app(
    headers: Sequence[tuple[str, str]], **options: Any
) -> tuple[TraceContext, list[Header]]:
    """Return the trace that the app finds in the context, and the headers in its scope."""
    seen: list[TraceContext | None] = []
    app = recording(doing(lambda _: seen.append(get_trace_context())))
    await request(TraceContextMiddleware(app, **options), headers=headers)
    [trace] = seen
    assert trace is not None
    return trace, traces(app.calls[0].scope["headers"])


async def test_the_app_finds_one_traceparent_and_one_tracestate() -> None:
    sent = [("traceparent", VALID), ("tracestate", "foo=1"), ("tracestate", "bar=2")]

    trace, headers = await seen_by_app(sent)

    assert (trace.trace_id, trace.tracestate) == (TRACE, "foo=1,bar=2")
    assert headers == [
        (b"traceparent", f"00-{TRACE}-{trace.parent_id}-01".encode()),
        (b"tracestate", b"foo=1,bar=2"),
    ]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([], id="none"),
        pytest.param([("traceparent", VALID), ("traceparent", VALID)], id="two"),
        pytest.param([("traceparent", "00-1"), ("tracestate", "foo=1")], id="invalid"),
        pytest.param([("tracestate", "foo=1")], id="no traceparent"),
    ],
)
async def test_a_request_without_a_valid_traceparent_begins_a_new_trace(
    sent: Sequence[tuple[str, str]],
) -> None:
    trace, headers = await seen_by_app(sent)

    assert trace.trace_id != TRACE
    assert headers == [(b"traceparent", f"00-{trace.trace_id}-{trace.parent_id}-02".encode())]


@pytest.mark.parametrize(
    ("trusted", "continues"),
    [
        pytest.param(["127.0.0.0/8"], True, id="trusted"),
        pytest.param(["10.0.0.0/8"], False, id="not trusted"),
    ],
)
async def test_only_the_trace_of_a_trusted_client_is_continued(
    trusted: Any, continues: bool
) -> None:
    sent = [("traceparent", VALID), ("tracestate", "foo=1")]

    trace, headers = await seen_by_app(sent, trusted=trusted)

    assert (trace.trace_id == TRACE, trace.tracestate) == (continues, "foo=1" if continues else "")
    assert len(headers) == 1 + continues


async def test_the_trace_of_a_websocket_is_continued() -> None:
    app = recording(echo)

    async with websocket(TraceContextMiddleware(app), headers={"traceparent": VALID}):
        pass

    assert traces(app.calls[0].scope["headers"])[0][1].startswith(f"00-{TRACE}-".encode())


def test_outside_a_request_there_is_no_trace() -> None:
    assert get_trace_context() is None


async def test_the_trace_is_restored_after_an_app_inside_the_app() -> None:
    seen: list[TraceContext | None] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(get_trace_context())
        await TraceContextMiddleware(hello)({**scope, "headers": []}, receive, send)
        seen.append(get_trace_context())

    await request(TraceContextMiddleware(outer))

    assert seen[0] is seen[1] is not None


async def test_a_stale_trace_in_the_context_is_never_seen() -> None:
    seen: list[TraceContext | None] = []
    app = TraceContextMiddleware(doing(lambda _: seen.append(get_trace_context())))

    for _ in range(2):  # in one context
        await app({"type": "http", "headers": []}, receive, send)

    first, second = seen
    assert first is not None
    assert second is not None
    assert first.trace_id != second.trace_id


def test_the_middleware_shows_its_options() -> None:
    assert repr(TraceContextMiddleware(hello, trusted=["unix"])) == (
        "TraceContextMiddleware(trusted=['unix'])"
    )
