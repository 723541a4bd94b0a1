"""Record what passes between a middleware and the app inside it."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import cast

from ..types import ASGIApp, Header, Message, Receive, Scope, Send
from ._lint import check_unedited, frozen


@dataclass(slots=True, eq=False)
class RecordedCall:
    """One call of a recorded app, with the three objects that the app was given."""

    scope: Scope
    receive: Receive
    send: Send
    sent: list[Message] = field(default_factory=list[Message])
    received: list[Message] = field(default_factory=list[Message])


class InnerMessages:
    """The messages that recorded apps send during one call of a client.

    The middleware around an app is not to blame for a header name that the app itself spelled
    ``Like-This``. It is to blame for a message that changed after the app had sent it.
    """

    def __init__(self) -> None:
        self.header_names: set[bytes] = set()
        self._sent: list[tuple[Message, object]] = []

    def add(self, message: Message) -> None:
        headers = message.get("headers", ())
        if isinstance(headers, list | tuple):
            self.header_names.update(name for name, _ in cast("list[Header]", headers))
        self._sent.append((message, frozen(message)))

    def check_unedited(self) -> None:
        for message, before in self._sent:
            check_unedited(f"the {message['type']} that the app had sent", message, before)


inner_messages: ContextVar[InnerMessages | None] = ContextVar("inner_messages", default=None)


class RecordedApp:
    """An app whose calls are kept in ``calls``; made by :func:`recording`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.calls: list[RecordedCall] = []

    @property
    def sent(self) -> list[Message]:
        """The messages that the app has sent in all of its calls."""
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
            if (present := inner_messages.get()) is not None:
                present.add(message)
            await send(message)

        # A copy, because an app may edit its scope, as Starlette's routing does. The middleware
        # around it is not to blame for that.
        await self.app({**scope}, recorded_receive, recorded_send)


def recording(app: ASGIApp) -> RecordedApp:
    """Wrap *app* so that ``calls`` records everything that it is given and sends.

    When a client of this package calls it, header names that *app* itself sends may be in mixed
    case, as Django's are, and nobody may edit the messages of *app* in place.
    """
    return RecordedApp(app)
