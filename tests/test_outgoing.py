"""The headers for requests to other services."""

import re

from asgi_middleware import (
    RequestIDMiddleware,
    TraceContextMiddleware,
    compose,
    outgoing_headers,
    request_id_context,
)
from asgi_middleware.testing import request
from asgi_middleware.types import Scope

from .apps import doing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"


def test_outside_a_request_there_are_no_outgoing_headers() -> None:
    assert outgoing_headers() == {}


async def test_the_id_goes_out_in_the_header_that_it_came_in() -> None:
    seen: list[dict[str, str]] = []
    app = RequestIDMiddleware(
        doing(lambda _: seen.append(outgoing_headers())), header_name="X-Correlation-ID"
    )

    await request(app, headers={"x-correlation-id": "abc"})

    assert seen == [{"x-correlation-id": "abc"}]


async def test_an_id_from_a_fallback_header_goes_out_in_our_own() -> None:
    seen: list[dict[str, str]] = []
    app = doing(lambda _: seen.append(outgoing_headers()))

    await request(RequestIDMiddleware(app, fallback_headers=["CF-Ray"]), headers={"cf-ray": "abc"})

    assert seen == [{"x-request-id": "abc"}]


async def test_an_id_for_a_part_of_a_request_goes_out_in_the_header_of_the_request() -> None:
    seen: list[dict[str, str]] = []

    def look(_: Scope) -> None:
        with request_id_context("part"):
            seen.append(outgoing_headers())

    await request(RequestIDMiddleware(doing(look), header_name="X-Correlation-ID"))

    assert seen == [{"x-correlation-id": "part"}]


def test_the_id_of_a_command_goes_out_too() -> None:
    with request_id_context("abc"):
        assert outgoing_headers() == {"x-request-id": "abc"}


async def test_the_trace_goes_out_with_the_id() -> None:
    seen: list[dict[str, str]] = []
    layers = compose(RequestIDMiddleware, TraceContextMiddleware)
    headers = {"x-request-id": "abc", "traceparent": VALID, "tracestate": "congo=t61rcWkgMzE"}

    await request(layers(doing(lambda _: seen.append(outgoing_headers()))), headers=headers)

    traceparent = seen[0].pop("traceparent")
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", traceparent)
    assert PARENT not in traceparent
    assert seen == [{"x-request-id": "abc", "tracestate": "congo=t61rcWkgMzE"}]


async def test_each_outgoing_request_has_its_own_parent_id() -> None:
    seen: list[str] = []
    app = doing(lambda _: seen.extend(outgoing_headers()["traceparent"] for _ in range(3)))

    await request(TraceContextMiddleware(app), headers={"traceparent": VALID})

    assert {traceparent[:35] for traceparent in seen} == {VALID[:35]}
    assert len({traceparent[36:52] for traceparent in seen} - {PARENT}) == 3


async def test_the_trace_goes_out_without_a_request_id_too() -> None:
    seen: list[dict[str, str]] = []
    sent = {"traceparent": VALID, "tracestate": "foo=1 , bar=2"}

    app = TraceContextMiddleware(doing(lambda _: seen.append(outgoing_headers())))
    await request(app, headers=sent)

    assert seen[0].keys() == {"traceparent", "tracestate"}
    assert seen[0]["tracestate"] == "foo=1,bar=2"
