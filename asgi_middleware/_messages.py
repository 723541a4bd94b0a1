"""What ASGI's messages mean: which carry headers, and which end a response or a WebSocket.

https://asgi.readthedocs.io/en/latest/specs/www.html and, for the messages that depend on an
extension, https://asgi.readthedocs.io/en/latest/extensions.html
"""

from typing import Any

from .types import Message

# Messages with headers that a client sees.
WITH_HEADERS = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)
# Messages after which an app sends nothing more on a WebSocket, except the body of a refusal.
ENDS_WEBSOCKET = frozenset({"websocket.close", "websocket.http.response.start"})
# Messages that say that the client has gone.
DISCONNECTS = frozenset({"http.disconnect", "websocket.disconnect"})

HTTP_DISCONNECT: dict[str, Any] = {"type": "http.disconnect"}

# The messages that follow the start of a response, each with the field that says whether more
# follow. A path stands for a whole file, so its message has no such field.
_MORE = {
    "http.response.body": "more_body",
    "http.response.pathsend": "",
    "http.response.zerocopysend": "more_body",
    "http.response.trailers": "more_trailers",
}

# Messages that make the server send a file itself.
SENT_BY_SERVER = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
# The statuses of responses without content. A response to HEAD has none either
# (RFC 9110, section 6.4.1).
WITHOUT_CONTENT = frozenset({*range(100, 200), 204, 304})


def is_last(message: Message, *, trailers: bool) -> bool:
    """Tell whether *message* completes an HTTP response.

    *trailers* is the field of that name in the start of the response: whether trailers follow.
    """
    more = _MORE.get(kind := message["type"])
    if more is None or message.get(more, False):
        return False
    return not trailers or kind == "http.response.trailers"


def ends_body(message: Message) -> bool:
    """Tell whether *message* is the last of a response's body; trailers may follow."""
    kind = message["type"]
    return (
        kind in _MORE and kind != "http.response.trailers" and not message.get(_MORE[kind], False)
    )
