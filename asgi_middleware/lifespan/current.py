"""The state and the tasks of whatever this code runs for, without a request at hand."""

from typing import NamedTuple

from .state import State, current_state
from .tasks import TaskSupervisor


class Override(NamedTuple):
    """What a test has put in the place of a state; ``given`` is as much of it as it has named."""

    given: State
    state: State


overrides: list[Override] = []

_MISSING = (
    "there is no {what} here because no LifespanMiddleware has served this request: it came through"
    " WSGI, a test client of Django's, or an asgi.py without the layer. In asgi.py, use"
    " application = stack(get_asgi_application()). In a test, use with override_state(name=value):"
    " or StackClient(), both from asgi_middleware.testing.django"
)
_NOT_STARTED = (
    "there are no tasks here because the server has sent no lifespan.startup; use"
    " LifespanMiddleware(..., when_missing='start')"
)


def get_state() -> State:
    """Return the state of the request or WebSocket that this code runs for.

        prices = await get_state()["client"].get("https://stock.example/prices/")

    It is what Django finds in ``request.scope["state"]`` and Channels in ``self.scope["state"]``.
    It works in whatever a view calls, sync or async, and in its streams and tasks. In a supervised
    task and in a lifespan context it is what startup has opened so far.

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

    It works where :func:`get_state` does, and raises LookupError where that does.
    """
    state = current_state.get()
    if state is None and not overrides:
        raise LookupError(_MISSING.format(what="supervisor of tasks"))
    tasks: TaskSupervisor | None = get_state().get("tasks")
    if tasks is None:
        raise LookupError(_NOT_STARTED)
    return tasks
