"""The state and the tasks of whatever this code runs for, without a request at hand."""

from collections.abc import Mapping
from typing import Any

from .state import State, current_state
from .tasks import TaskSupervisor

# What tests put in the place of a state, the last one on top.
overrides: list[Mapping[str, Any]] = []

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
        return overridden()
    raise LookupError(_MISSING.format(what="state"))


def get_tasks() -> TaskSupervisor:
    """Return the supervisor that starts tasks in the background.

        get_tasks().spawn(send_receipt, restart="never")

    It works where :func:`get_state` does, and raises LookupError where that does.
    """
    state = current_state.get() or overridden()
    try:
        tasks: TaskSupervisor = state["tasks"]
    except KeyError:
        message = _MISSING.format(what="supervisor of tasks")
        raise LookupError(_NOT_STARTED if current_state.get() is not None else message) from None
    return tasks


def overridden() -> State:
    """Return what tests have put in the place of a state, in a dict of its own."""
    return {key: value for each in overrides for key, value in each.items()}
