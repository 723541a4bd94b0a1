"""A place to open what a process holds, and to close it again.

    @asynccontextmanager
    async def client(state):
        async with httpx.AsyncClient() as client:
            yield {"client": client}

    application = LifespanMiddleware(get_asgi_application(), lifespan=[client])

Django itself knows no start-up and no shutdown, and raises ValueError when a server
speaks of them. Here they open and close context managers; a view finds what they
yield in ``request.scope["state"]``, and in ``state["tasks"]`` a
:class:`TaskSupervisor` for what is to run in the background.

With ``drain=Drain()`` the process also ends when streams and WebSockets are open: at
SIGTERM they are given some seconds, and then told that their client has gone.

Belongs near the app, inside everything that only looks at requests: lifespan messages
pass through, and what is refused here while the process starts or ends is logged and
gets its headers there.
"""

from .drain import Drain
from .middleware import LifespanMiddleware
from .state import State
from .tasks import TaskSupervisor

__all__ = ["Drain", "LifespanMiddleware", "State", "TaskSupervisor"]
