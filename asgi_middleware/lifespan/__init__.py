"""A place where a process opens its resources at startup and closes them at shutdown.

    @asynccontextmanager
    async def client(state):
        async with httpx.AsyncClient() as client:
            yield {"client": client}

    application = LifespanMiddleware(get_asgi_application(), lifespan=[client])

Django itself has neither startup nor shutdown, and raises ValueError when a server signals them.
This middleware opens context managers at startup and closes them at shutdown. Views find what they
yield in ``get_state()``. ``get_tasks()`` returns a :class:`TaskSupervisor` for work in the
background.

With ``drain=Drain()`` the process also ends while streams and WebSockets are open: after SIGTERM
they have some seconds left, and then a disconnect.

Belongs near the app, with only the thread pool further in. Requests that it refuses while the
process starts or ends then still pass through the other layers, so they are logged and get their
headers.

Where to change what:

=======================  ===========================================================================
``middleware.py``        the options; what a request gets while nothing serves, or if no server
                         signals startup
``cycle.py``             what startup and shutdown do, in which order; when a failed startup is
                         repeated
``contexts.py``          what can be a context; ``context_task.py``: the task that enters and
                         exits it
``state.py``             which keys the state has, and who may set them
``inner.py``             the lifespan of the app inside: what is a failure, and what is not
``tasks.py``             tasks in the background, and their restarts
``drain.py``             how long a drain waits, and what it says; ``signals.py``: what begins it
``connections.py``       how a drain ends a request or a WebSocket
``timeouts.py``          how long the parts of startup and shutdown may take
``failure.py``           what a failure is called in the log
``daphne.py``            the signals that Daphne does not send
=======================  ===========================================================================
"""

from .current import get_state, get_tasks
from .drain import Drain
from .middleware import LifespanMiddleware
from .registered import register_lifespan
from .state import State
from .tasks import TaskSupervisor

__all__ = [
    "Drain",
    "LifespanMiddleware",
    "State",
    "TaskSupervisor",
    "get_state",
    "get_tasks",
    "register_lifespan",
]
