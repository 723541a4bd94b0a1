"""What can be played, and what is expected of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """A row. *two_origins*: it needs a page of ``localhost`` and a server at ``127.0.0.1``."""

    name: str
    title: str
    expected: str
    two_origins: bool = False


SCENARIOS = (
    Scenario(
        "allowed-origin",
        "Allowed origin",
        "A page of an origin on the list may read the answer, and the ID in it.",
        two_origins=True,
    ),
    Scenario(
        "refused-origin",
        "Refused origin",
        "A stranger's page is answered, but its browser keeps the answer from it.",
    ),
    Scenario(
        "preflight",
        "Preflight",
        "The browser asks first; CORS answers, and Django never sees the question.",
        two_origins=True,
    ),
    Scenario(
        "credentials",
        "Request with a cookie",
        "A cookie crosses from one origin to the other, and the answer may be read.",
        two_origins=True,
    ),
    Scenario("slow", "Slow view", "An async view waits a second; its record has that as a phase."),
    Scenario(
        "raises",
        "View that raises",
        "Status 500, outcome ok, the ID on the answer, and on Django's line in the log.",
    ),
    Scenario("stream", "Stream", "Five lines; the first byte comes long before the last."),
    Scenario(
        "client-leaves",
        "Client that leaves",
        "The view is told, and the record says disconnect.",
    ),
    Scenario("forged-id", "Forged ID", "Markup for an ID is refused; a new one takes its place."),
    Scenario("overlong-id", "Overlong ID", "200 characters are refused as well."),
    Scenario(
        "websocket-user",
        "WebSocket",
        "A consumer greets its visitor, and its line in the log has the ID of the socket.",
    ),
    Scenario(
        "websocket-origin",
        "WebSocket of a stranger",
        "The handshake of a page that is not ours is refused.",
    ),
    Scenario(
        "burst",
        "Burst of sync views",
        "40 requests at once, served by 16 threads at the most.",
    ),
    Scenario(
        "job",
        "Background job",
        "The view answers at once; the job goes on, and tells how far it is.",
    ),
    Scenario(
        "drain",
        "Restart",
        "A child server ends at SIGTERM: its stream whole, its WebSocket with 1012.",
    ),
)
