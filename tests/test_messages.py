"""Which message completes a response, and which one ends its body."""

from typing import Any

import pytest

from asgi_middleware._messages import ends_body, is_last

START = {"type": "http.response.start", "status": 200}


def body(**fields: Any) -> dict[str, Any]:
    return {"type": "http.response.body", **fields}


def path_send() -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": "/file"}


def zero_copy(**fields: Any) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": 3, **fields}


def trailers(**fields: Any) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": [], **fields}


@pytest.mark.parametrize(
    ("message", "without_trailers", "with_trailers", "of_body"),
    [
        pytest.param(START, False, False, False, id="start"),
        pytest.param(body(), True, False, True, id="body"),
        pytest.param(body(more_body=False), True, False, True, id="last part"),
        pytest.param(body(more_body=True), False, False, False, id="part"),
        pytest.param(path_send(), True, False, True, id="path send"),
        pytest.param(zero_copy(), True, False, True, id="zero copy send"),
        pytest.param(zero_copy(more_body=True), False, False, False, id="part, zero copy send"),
        pytest.param(trailers(), True, True, False, id="trailers"),
        pytest.param(trailers(more_trailers=True), False, False, False, id="some trailers"),
        pytest.param({"type": "http.response.push"}, False, False, False, id="server push"),
        pytest.param({"type": "http.response.debug"}, False, False, False, id="debug"),
        pytest.param({"type": "websocket.close"}, False, False, False, id="WebSocket"),
    ],
)
def test_the_last_message_of_a_response_and_of_its_body_is_recognized(
    message: dict[str, Any], without_trailers: bool, with_trailers: bool, of_body: bool
) -> None:
    assert is_last(message, trailers=False) is without_trailers
    assert is_last(message, trailers=True) is with_trailers
    assert ends_body(message) is of_body
