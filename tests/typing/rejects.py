"""What must be a type error, such as a change to a scope or a message.

Type checkers read this file. Nothing runs it. They must report the lines that end in "# error",
and no others.
"""

from asgi_middleware import CORSPolicy, Drain, RequestIDMiddleware, ThreadPool, compose, stack
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


async def an_app(scope: Scope, receive: Receive, send: Send) -> None:
    pass


def makes_an_app() -> ASGIApp:
    return an_app


stack("example.asgi:application")  # error
stack(makes_an_app)  # error
stack(an_app, cors=["https://app.example"])  # error
stack(an_app, cors=CORSPolicy)  # error
stack(an_app, websocket_origins=True)  # error
stack(an_app, checks=[makes_an_app])  # error
stack(an_app, drain=10)  # error
stack(an_app, pool=8)  # error
stack(an_app, lifespan=[Drain()])  # error
stack(an_app, lifespan=[ThreadPool])  # error
stack(an_app, max_body_size="10MB")  # error
stack(an_app, observers=[stack])  # error
stack(an_app, health=RequestIDMiddleware(an_app))  # error
stack(an_app, CORSPolicy())  # error
stack(an_app, allow_origins=["https://app.example"])  # error
RequestIDMiddleware("example.asgi:application")  # error
RequestIDMiddleware(two_objects)  # error
compose(two_objects)  # error
compose(RequestIDMiddleware(Editing))  # error
