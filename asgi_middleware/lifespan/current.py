"""The current state and its tasks, for code that does not have the request."""

from typing import NamedTuple

from .state import State, current_state
from .tasks import TaskSupervisor


class Override(NamedTuple):
    """A state that a test has set; ``given`` holds only the keys that the test named."""

    given: State
    state: State


overrides: list[Override] = []

_MISSING = (
    "there is no {what} here because no LifespanMiddleware has served this request: it came through"
    " WSGI, one of Django's test clients, or an asgi.py without the layer. In asgi.py, use"
    " application = stack(get_asgi_application()). In a test, use with override_state(name=value):"
    " or StackClient(), both from asgi_middleware.testing.django"
)
_NOT_STARTED = (
    "there are no tasks here because the server has not sent lifespan.startup; use"
    " LifespanMiddleware(..., when_missing='start')"
)


def get_state() -> State:
    """Return the state of the request or WebSocket that this code runs for.

        prices = await get_state()["client"].get("https://stock.example/prices/")

    It is the dict in ``request.scope["state"]`` (Django) and ``self.scope["state"]`` (Channels).
    You can call it in everything that a view calls, sync or async, and in its streams and tasks.
    In a supervised task or a lifespan context, it returns what startup has opened so far.

    Raises LookupError where no :class:`LifespanMiddleware` has served the request.
    """
    state = current_state.get()
    if state is not None:
        return state
    if overrides:
        return overrides[-1].state
    raise LookupError(_MISSING.format(what="state"))


def get_tasks() -> TaskSupervisor:
    """Return the supervisor that starts tasks in the background.

        get_tasks().spawn(send_receipt, restart="never")

    Raises LookupError where :func:`get_state` does, and if nothing has been started.
    """
    state = current_state.get()
    if state is None and not overrides:
        raise LookupError(_MISSING.format(what="task supervisor"))
    tasks: TaskSupervisor | None = get_state().get("tasks")
    if tasks is None:
        raise LookupError(_NOT_STARTED)
    return tasks
