"""The tests of other projects that may end differently inside the stack, and why.

Each reason is also in ``docs/how-it-works.md``.
"""

STARLETTE = {
    "The app gets the request ID as a header of the request, and the client as a header of the "
    "response.": (
        "tests/test_requests.py::test_request_headers[asyncio]",
        "tests/test_routing.py::test_websocket_route_middleware[asyncio]",
        "tests/test_websockets.py::test_additional_headers[asyncio]",
        "tests/test_websockets.py::test_no_additional_headers[asyncio]",
        "tests/test_websockets.py::test_websocket_headers[asyncio]",
    ),
    "The app is called once with a lifespan scope, even if the server signals no startup.": (
        "tests/middleware/test_gzip.py::test_gzip_streaming_compression_in_thread[asyncio]",
        "tests/middleware/test_gzip.py::test_gzip_streaming_response_emits_output_per_chunk[asyncio]",
    ),
    "An app that raises when it is called with a lifespan scope starts all the same, as it does "
    "on a server.": ("tests/test_testclient.py::test_exception_in_middleware[asyncio]",),
    "A shutdown that fails is logged and reported to the server, but raises no exception.": (
        "tests/test_routing.py::test_raise_on_shutdown[asyncio]",
    ),
}

CHANNELS = {
    "The app gets the request ID as a header of the request, and the client as a header of the "
    "response.": (
        "tests/test_generic_http.py::test_async_http_consumer",
        "tests/test_generic_http.py::test_async_http_consumer_future",
        "tests/test_generic_websocket.py::test_accept_headers[False]",
        "tests/test_generic_websocket.py::test_accept_headers[True]",
        "tests/test_http.py::test_session_samesite[None]",
        "tests/test_http.py::test_session_samesite[Strict]",
        "tests/test_http.py::test_sessions",
    ),
    "A WebSocket from a page of another site gets a 403 before the app sees it.": (
        "tests/security/test_websocket.py::test_origin_validator",
    ),
}
