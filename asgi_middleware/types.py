"""Types for the parts of an ASGI call, as strict as other people's code allows.

What a middleware is *given* is read-only. A scope or a message belongs to somebody else, who may
use it again, so ``scope["path"] = "/"`` is a type error: use ``{**scope, "path": "/"}``. What a
middleware *calls* is typed loosely. Django, Starlette, httpx and uvicorn each type it differently
(``dict``, ``MutableMapping``, one ``TypedDict`` for each message), and all of them must fit without
a cast.

https://asgi.readthedocs.io/en/latest/specs/main.html#middleware
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

Scope = Mapping[str, Any]
Message = Mapping[str, Any]

Receive = Callable[[], Awaitable[Message]]
# The `send` of a server accepts the messages that it knows, and ours accepts all of them. Only
# `Any` fits both.
Send = Callable[[Any], Awaitable[None]]

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Middleware = Callable[[ASGIApp], ASGIApp]

Header = tuple[bytes, bytes]
Headers = Iterable[Header]
