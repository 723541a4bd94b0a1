"""Listen at the inner side of a middleware."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import cast

from ..types import ASGIApp, Header, Message, Receive, Scope, Send
from ._lint import check_unedited, frozen


@dataclass(slots=True, eq=False)
class RecordedCall:
    """One call of a recorded app, with the three objects that it was given."""

    scope: Scope
    receive: Receive
    send: Send
    sent: list[Message] = field(default_factory=list[Message])
    received: list[Message] = field(default_factory=list[Message])


class Witness:
    """What recorded apps did during one call of the client; it excuses, and accuses.

    A header name that the app itself spelled ``Like-This`` is not the fault of the
    middleware around it; a message that changed after the app had sent it is.
    """

    def __init__(self) -> None:
        self.spelled: set[bytes] = set()
        self._sent: list[tuple[Message, object]] = []

    def saw(self, message: Message) -> None:
        headers = message.get("headers", ())
        if isinstance(headers, list | tuple):
            self.spelled.update(name for name, _ in cast("list[Header]", headers))
        self._sent.append((message, frozen(message)))

    def check(self) -> None:
        for message, before in self._sent:
            check_unedited(f"the {message['type']} that the app had sent", message, before)


witness: ContextVar[Witness | None] = ContextVar("witness", default=None)


class Recording:
    """An app that keeps what passes through it; made by :func:`recording`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.calls: list[RecordedCall] = []

    @property
    def sent(self) -> list[Message]:
        """Every message that the app has sent, over all calls."""
        return [message for call in self.calls for message in call.sent]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = RecordedCall(scope, receive, send)
        self.calls.append(call)

        async def recorded_receive() -> Message:
            message = await receive()
            call.received.append(message)
            return message

        async def recorded_send(message: Message) -> None:
            call.sent.append(message)
            if (present := witness.get()) is not None:
                present.saw(message)
            await send(message)

        # A copy: what the app does to its scope is not the middleware's doing.
        # Starlette's routing, for one, edits it.
        await self.app({**scope}, recorded_receive, recorded_send)


def recording(app: ASGIApp) -> Recording:
    """Return *app*, with everything that it is given and sends kept in ``calls``.

    Within a call by this package's client, header names that *app* sends may be in
    mixed case, as Django's are, and its messages are checked for edits in place.
    """
    return Recording(app)
