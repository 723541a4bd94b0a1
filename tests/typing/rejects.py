"""What must be a type error, such as a change to a scope or a message.

Type checkers read this file. Nothing runs it. They must report the lines that end in "# error",
and no others.
"""

from asgi_middleware import RequestIDMiddleware, compose
from asgi_middleware.types import ASGIApp, Headers, Message, Receive, Scope, Send


class Editing:
    """A middleware that edits scopes and messages instead of sending changed copies."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = "/"  # error
        scope["headers"] += [(b"a", b"b")]  # error
        scope.update({"path": "/"})  # error
        scope.setdefault("state", {})  # error
        scope |= {"path": "/"}  # error
        scope.pop("path")  # error
        del scope["path"]  # error

        async def edited_receive() -> Message:
            message = await receive()
            message["more_body"] = False  # error
            return message

        async def edited_send(message: Message) -> None:
            message["status"] = 200  # error
            message.clear()  # error
            await send(message)

        await self.app(scope, edited_receive, edited_send)


def added(headers: Headers) -> Headers:
    headers.append((b"a", b"b"))  # error
    headers[0] = (b"a", b"b")  # error
    return headers


async def two_objects(scope: Scope, receive: Receive) -> None:
    await receive()


RequestIDMiddleware("example.asgi:application")  # error
RequestIDMiddleware(two_objects)  # error
compose(two_objects)  # error
compose(RequestIDMiddleware(Editing))  # error
