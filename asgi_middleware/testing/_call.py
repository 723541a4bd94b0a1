"""One call of an app, in a task of its own. The clients of all protocols are built on it."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from typing import Generic, TypeVar

from .._django import transactions_kept
from .._threads import is_below_sync_code
from ..types import ASGIApp, Message, Scope
from ._lint import ASGIViolation, Lint, check_unedited, frozen
from .recording import InnerMessages, inner_messages

AnyLint = TypeVar("AnyLint", bound=Lint)


class AppCall(Generic[AnyLint]):
    """Feeds messages to an app, keeps what it sends, and interrupts it where you want.

    ``end`` is the message that the app receives again and again once it has received all others.
    Until ``end`` is set, ``receive()`` waits for more. ``awaits`` counts the calls of ``receive``
    and ``send``, and ``at`` maps the number of a call to a function that runs at that call.

    With *strict*, nobody may edit the scope, and header names must be in lower case.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        make_lint: Callable[..., AnyLint],
        *,
        timeout: float,
        strict: bool,
    ) -> None:
        self.sent: list[Message] = []
        self.end: Message | None = None
        self.awaits = 0
        self.receives = 0
        self.receives_after_end = 0
        self.at: dict[int, Callable[[], object]] = {}
        self.on_received: Callable[[Message], object] = lambda _: None
        self.on_sent: Callable[[], object] = lambda: None
        self.inner_messages = InnerMessages()
        self._app = app
        self._scope = scope
        self._scope_before = frozen(scope) if strict else None
        self._timeout = timeout
        self._inbox: deque[Message] = deque()
        self._given: list[tuple[Message, object]] = []
        self._changed = asyncio.Event()
        self._violation: ASGIViolation | None = None
        self._task: asyncio.Task[None] | None = None
        self.lint = make_lint(scope, self.inner_messages.header_names, strict=strict)
        self.cancelled = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="asgi app under test")
        self._task.add_done_callback(self._ended)

    def put(self, message: Message) -> None:
        self._inbox.append(message)
        self._changed.set()

    def finish_with(self, message: Message, *, discard: bool) -> None:
        """Make *message* the last that the app receives; *discard* drops unreceived messages."""
        if self.end is None:
            self.end = message
        if discard:
            self._inbox.clear()
        self._changed.set()

    def cancel(self) -> None:
        """Cancel the app, as an impatient server does."""
        if self._task is not None:
            self.cancelled = True
            self._task.cancel()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for *condition*, which the app meets by sending *what*.

        If the app ends before that, raises what the app raised, or else :class:`ASGIViolation`.
        """
        try:
            async with asyncio.timeout(self._timeout):
                while not condition():
                    if self.ended:
                        self.raise_failure()
                        self.lint.ended()
                        raise ASGIViolation(
                            f"the app returned without sending {what}",
                            "https://asgi.readthedocs.io/en/latest/specs/main.html#applications",
                        )
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"the app did not send {what} within {self._timeout} s") from None

    @property
    def ended(self) -> bool:
        return self._task is not None and self._task.done()

    @property
    def exception(self) -> BaseException | None:
        """What the app raised; None if it has returned or still runs."""
        if self._task is None or not self._task.done():
            return None
        if self._task.cancelled():
            return asyncio.CancelledError()
        return self._task.exception()

    async def join(self) -> None:
        """Wait until the app has returned or raised."""
        assert self._task is not None  # noqa: S101 -- for the type checker
        await asyncio.wait({self._task}, timeout=self._timeout)
        if not self._task.done():
            await self.stop()
            last = f"last sent {self.sent[-1]['type']}" if self.sent else "sent nothing"
            raise TimeoutError(
                f"the app did not end within {self._timeout} s; it {last}"
                f" and called receive() {self.receives} times"
            )

    async def stop(self) -> None:
        """End the app by force, so that its task does not outlive a failing test."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=self._timeout)

    def raise_failure(self) -> None:
        """Raise the violation, or what the app raised, except a cancellation by :meth:`cancel`."""
        if self._violation is not None:
            raise self._violation
        exception = self.exception
        if exception is None or (self.cancelled and isinstance(exception, asyncio.CancelledError)):
            return
        raise exception

    def verify(self) -> None:
        """Raise the first violation, found during the call or now."""
        if self._violation is not None:
            raise self._violation
        if self._scope_before is not None:
            check_unedited("the scope that the server gave", self._scope, self._scope_before)
        for message, before in self._given:
            check_unedited(f"the {message['type']} that the server gave", message, before)
        self.inner_messages.check_unedited()

    def _ended(self, task: asyncio.Task[None]) -> None:
        # asyncio logs an exception that nobody has retrieved.
        _ = task.cancelled() or task.exception()
        self._changed.set()

    async def _run(self) -> None:
        inner_messages.set(self.inner_messages)  # in the context of this task only
        async with transactions_kept() if is_below_sync_code() else nullcontext():
            await self._app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        self.receives += 1
        if self._given and self._given[-1][0] is self.end:
            self.receives_after_end += 1
        await self._pause()
        while not self._inbox and self.end is None:
            self._changed.clear()
            await self._changed.wait()
        message = self._inbox.popleft() if self._inbox else self.end
        assert message is not None  # noqa: S101 -- for the type checker
        self._given.append((message, frozen(message)))
        self.on_received(message)
        return message

    async def _send(self, message: Message) -> None:
        await self._pause()
        try:
            self.lint.sent(message)
        except ASGIViolation as violation:
            # Kept as well, because the app may swallow it.
            self._violation = self._violation or violation
            raise
        self.sent.append(message)
        self.on_sent()
        self._changed.set()

    async def _pause(self) -> None:
        self.awaits += 1
        if self.awaits in self.at:
            self.at[self.awaits]()
        await asyncio.sleep(0)  # a cancellation arrives here
