"""The example behind a function that removes the request ID from each response."""

from collections.abc import Awaitable

from asgi_middleware.types import Message, Receive, Scope, Send
from example_project.asgi import application as example


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    def without_id(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            kept = [header for header in message["headers"] if header[0] != b"x-request-id"]
            message = {**message, "headers": kept}
        return send(message)

    await example(scope, receive, without_id)
