"""A middleware of the project's own, in twenty lines: the one to copy.

It is a class that takes the app. ``__call__`` lets pass what is none of its business, reads,
decides, and delegates; a scope is somebody else's, so what it adds goes into a copy.
"""

from collections.abc import Awaitable

from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send


class SentHeadersMiddleware:
    """Note in ``state["sent"]`` which headers the client is sent, by all layers together.

    The list is empty until then. Whoever reads ``request.scope["state"]["sent"]`` further in
    holds the same list, and so knows in the end what was added outside of it.
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
