"""A place to open what a process holds, and to close it again.

    @asynccontextmanager
    async def client(state):
        async with httpx.AsyncClient() as client:
            yield {"client": client}

    application = LifespanMiddleware(get_asgi_application(), lifespan=[client])

Django itself knows no start-up and no shutdown, and raises ValueError when a server
speaks of them. Here they open and close context managers; a view finds what they
yield in ``request.scope["state"]``.

Belongs inside everything that only looks at requests: lifespan messages pass through.
"""

from .middleware import LifespanMiddleware
from .state import State

__all__ = ["LifespanMiddleware", "State"]
