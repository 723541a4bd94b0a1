"""Open resources when the process starts, and close them when it stops.

    @asynccontextmanager
    async def client(state):
        async with httpx.AsyncClient() as client:
            yield {"client": client}

    application = LifespanMiddleware(get_asgi_application(), lifespan=[client])

Django itself has neither startup nor shutdown, and raises ValueError when a server signals them.
This middleware enters context managers at startup and exits them at shutdown. ``get_state()``
returns what the contexts have yielded. ``get_tasks()`` returns a :class:`TaskSupervisor` for
background work.

With ``drain=Drain()``, open streams and WebSockets do not keep the process from stopping: after
SIGTERM they have a few seconds to finish, and then their apps receive a disconnect.

Put it near the app, with only the thread pool further in. The requests that it refuses then still
pass through the other layers, which log them and add their headers.

The modules:

=======================  ===========================================================================
``middleware.py``        the options; what a request gets before startup and after shutdown, or if
                         the server never signals startup
``cycle.py``             what startup and shutdown do, and in which order; when a failed startup is
                         retried
``contexts.py``          what can be a context; ``context_task.py``: the task that enters and
                         exits contexts
``registered.py``        the contexts that Django apps register
``state.py``             which keys the state has, and who may set them
``current.py``           ``get_state()`` and ``get_tasks()``
``inner.py``             the lifespan of the inner app, and which of its errors are failures
``tasks.py``             background tasks and their restarts
``drain.py``             how long a drain waits, and what it logs; ``signals.py``: the signals that
                         begin it
``connections.py``       how a drain ends a request or a WebSocket
``timeouts.py``          how long the parts of startup and shutdown may take
``failure.py``           how the log names a failure
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
