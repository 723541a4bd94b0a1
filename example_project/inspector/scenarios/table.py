"""The scenarios: what is sent, and what is then seen. The page gets this table as JSON."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

# Who sends: the page itself, a page of an allowed origin, or a page of an unknown origin.
Sender = Literal["page", "friend", "stranger"]
# How a check compares. With "same as", its value names something else that was seen.
How = Literal["is", "at least", "at most", "matches", "same as"]


@dataclass(frozen=True)
class Send:
    """A request or, with the method ``WebSocket``, a WebSocket that is closed after one message.

    ``{new}`` in the path becomes a new UUID. *size* is the size of the body, which is JSON.
    """

    path: str
    method: str = "GET"
    by: Sender = "page"
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 0
    # Whether cookies are sent to another origin.
    cookies: bool = False
    # Whether the client leaves after the first part of the response.
    leave: bool = False

    def __str__(self) -> str:
        return " ".join(
            [
                f"{self.method} {self.path.replace('{new}', '…')}",
                *(f"{name}: {value:.28}" for name, value in self.headers.items()),
                *([f"with {self.size:,} bytes"] if self.size else []),
                *(["with cookies"] if self.cookies else []),
                *(["from another origin"] if self.by == "friend" else []),
                *(["from a stranger"] if self.by == "stranger" else []),
                *(["and leave"] if self.leave else []),
            ]
        )


@dataclass(frozen=True)
class Check:
    """One thing that is expected. *of* is a path into what a player has seen.

    ``read``, ``status``, ``id`` and ``body`` are from the last response. ``record`` and
    ``preflight`` are events of the live view, ``log`` is a line in it that has the ID and matches
    the value, ``job`` is a message from the job that the body names.
    """

    label: str
    of: str
    value: Any
    how: How = "is"

    @property
    def wanted(self) -> str:
        """What is expected, in words."""
        if self.how == "same as":
            return "the same"
        if self.how == "matches":
            return "a line with the ID" if self.of == "log" else "a new one"
        return shown(self.value) if self.how == "is" else f"{self.how} {self.value}"


@dataclass(frozen=True)
class Scenario:
    """A card of the page. *console* names the errors that a browser is expected to log."""

    name: str
    title: str
    text: str
    send: tuple[Send, ...]
    expect: tuple[Check, ...]
    console: str = ""


def shown(value: object) -> str:
    """Return *value* as a visitor reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


status = partial(Check, "Status", "status")
outcome = partial(Check, "Outcome", "record.outcome")
log = partial(Check, "Log", "log", how="matches")
read = partial(Check, "The page reads the response", "read")
A_NEW_ID = (
    Check("New ID", "id", "^[0-9a-f]{32}$", "matches"),
    Check("The view has the same", "body.request_id", "id", "same as"),
)
ALLOWED = "/scenarios/allowed/"

SCENARIOS = (
    Scenario(
        "allowed-origin",
        "Allowed origin",
        "A page of an allowed origin reads the response, and the ID in it.",
        (Send(ALLOWED, by="friend"),),
        (read(True), Check("ID in header and body", "id", "body.request_id", "same as")),
    ),
    Scenario(
        "refused-origin",
        "Refused origin",
        "The browser withholds the response from a stranger's page.",
        (Send(ALLOWED, by="stranger"),),
        (read(False),),
        console="a request from the origin null that CORS has blocked",
    ),
    Scenario(
        "preflight",
        "Preflight",
        "The browser asks first. CORS responds, and Django never sees that request.",
        (Send(ALLOWED + "{new}/", "POST", by="friend", size=2),),
        (
            Check("Preflight", "preflight.cors", "preflight allowed"),
            Check("Its status", "preflight.status", 204),
            Check("Its route in Django", "preflight.route", "unmatched"),
            Check("Status of the request itself", "status", 200),
        ),
    ),
    Scenario(
        "credentials",
        "Request with a cookie",
        "A cookie crosses from one origin to another, and the page reads the response.",
        (
            Send("/scenarios/cookie/", "POST", by="friend", cookies=True),
            Send(ALLOWED, by="friend", cookies=True),
        ),
        (read(True), Check("The cookie arrives", "body.cookie", True)),
    ),
    Scenario(
        "slow",
        "Slow view",
        "An async view waits for a second, and measures the wait as a phase.",
        (Send("/scenarios/slow/"),),
        (
            Check("Phase", "record.phases.0.name", "wait"),
            Check("Its milliseconds", "record.phases.0.duration", 900, "at least"),
        ),
    ),
    Scenario(
        "raises",
        "View that raises",
        "The client gets a complete 500. Its ID is in Django's log line.",
        (Send("/fail/"),),
        (status(500), outcome("ok"), log("^ERROR Internal Server Error")),
        console="the status 500",
    ),
    Scenario(
        "upload",
        "Body that is too large",
        "For notes, a body of more than 10,000 bytes is refused before Django reads it.",
        (Send("/notes/", "POST", size=20_000),),
        (status(413), outcome("refused")),
        console="the status 413",
    ),
    Scenario(
        "late",
        "View that is too late",
        "The client gets a 504 after half a second, and the view is cancelled.",
        (Send("/late/"),),
        (status(504), outcome("timeout"), log("^INFO cancelled: ")),
        console="the status 504",
    ),
    Scenario(
        "stream",
        "Stream",
        "Five lines: the first byte arrives long before the last.",
        (Send("/scenarios/stream/"),),
        (
            Check("Lines", "body.lines", 5),
            Check("Milliseconds from first to last byte", "record.streamed", 900, "at least"),
        ),
    ),
    Scenario(
        "client-leaves",
        "Client that leaves",
        "The view gets a disconnect, and closes its stream.",
        (Send("/scenarios/stream/", leave=True),),
        (outcome("disconnect"), log("^INFO closed: the stream")),
    ),
    Scenario(
        "forged-id",
        "Forged ID",
        "An ID with markup is refused, and a new one takes its place.",
        (Send(ALLOWED, headers={"x-request-id": "<script>alert(1)</script>"}),),
        A_NEW_ID,
    ),
    Scenario(
        "overlong-id",
        "Overlong ID",
        "An ID may have 200 characters. This one has 201.",
        (Send(ALLOWED, headers={"x-request-id": "a" * 201}),),
        A_NEW_ID,
    ),
    Scenario(
        "websocket-user",
        "WebSocket",
        "A consumer greets its visitor, and its log line has the WebSocket's ID.",
        (Send("/ws/echo/", "WebSocket"),),
        (Check("Opened", "read", True), outcome("ok"), log("^INFO welcomed ")),
    ),
    Scenario(
        "websocket-origin",
        "WebSocket from a stranger",
        "A handshake from another site's page is refused.",
        (Send("/ws/echo/", "WebSocket", by="stranger"),),
        (Check("Opened", "read", False),),
        console="a WebSocket that failed with 403",
    ),
    Scenario(
        "burst",
        "Burst of sync views",
        "40 requests at once share 16 threads. The others wait for their turn.",
        (Send("/scenarios/burst/", "POST"),),
        (
            Check("Responses", "body.responses", 40),
            Check("Most at work at once", "body.at_work", 16, "at most"),
        ),
    ),
    Scenario(
        "job",
        "Background job",
        "The view responds at once. The job goes on and reports its progress.",
        (Send("/scenarios/job/", "POST"),),
        (status(202), Check("Steps", "job.done", 10)),
    ),
    Scenario(
        "drain",
        "Restart",
        "A child server gets SIGTERM while a stream and a WebSocket are open.",
        (Send("/scenarios/drain/", "POST"),),
        (
            Check("The stream ends complete", "body.stream_complete", True),
            Check("The WebSocket is closed with", "body.websocket_close", 1012),
        ),
    ),
)
