"""The project's own middleware, in about twenty lines. Copy it to write yours.

It is a class that takes the app. ``__call__`` passes on scopes of other types, then reads, decides
and delegates. A scope belongs to someone else, so additions go into a copy.
"""

from collections.abc import Awaitable

from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send


class SentHeadersMiddleware:
    """Records the headers that all layers together send to the client, in ``state["sent"]``.

    The list is empty until the response starts. Views and layers further in have the same list
    in ``request.scope["state"]["sent"]``, so after that they see what outer layers have added.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        sent: list[tuple[bytes, bytes]] = []

        def noting(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                sent.extend(message.get("headers", ()))
            return send(message)

        state = {**scope.get("state", {}), "sent": sent}
        await self.app({**scope, "state": state}, receive, noting)
