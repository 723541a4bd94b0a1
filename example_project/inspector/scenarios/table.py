"""The scenarios that can be played, and what is expected of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """A row. *two_origins*: the browser needs the server as ``localhost`` and as ``127.0.0.1``."""

    name: str
    title: str
    expected: str
    two_origins: bool = False


SCENARIOS = (
    Scenario(
        "allowed-origin",
        "Allowed origin",
        "A page of an allowed origin may read the response, and the ID in it.",
        two_origins=True,
    ),
    Scenario(
        "refused-origin",
        "Refused origin",
        "The browser does not let a stranger's page read the response.",
    ),
    Scenario(
        "preflight",
        "Preflight",
        "The browser asks first. CORS responds, and Django never sees the preflight.",
        two_origins=True,
    ),
    Scenario(
        "credentials",
        "Request with a cookie",
        "A cookie goes from one origin to the other, and the page may read the response.",
        two_origins=True,
    ),
    Scenario(
        "slow", "Slow view", "An async view waits a second, and its record has a phase for that."
    ),
    Scenario(
        "raises",
        "View that raises",
        "Status 500, outcome ok, and the ID in the response and in Django's log line.",
    ),
    Scenario("upload", "Body that is too large", "Status 413: Django has not read any of it."),
    Scenario(
        "late",
        "View that is too late",
        "Status 504 after half a second, and the view is cancelled.",
    ),
    Scenario("stream", "Stream", "Five lines: the first byte arrives long before the last."),
    Scenario(
        "client-leaves",
        "Client that leaves",
        "The view receives a disconnect, and the record says so.",
    ),
    Scenario(
        "forged-id", "Forged ID", "An ID with markup is refused, and a new one takes its place."
    ),
    Scenario("overlong-id", "Overlong ID", "An ID of 201 characters is refused as well."),
    Scenario(
        "websocket-user",
        "WebSocket",
        "A consumer greets its visitor, and its log line has the WebSocket's ID.",
    ),
    Scenario(
        "websocket-origin",
        "WebSocket from a stranger",
        "A handshake from a page that is not ours is refused.",
    ),
    Scenario(
        "burst",
        "Burst of sync views",
        "40 requests at once: at most 16 of them are at work.",
    ),
    Scenario(
        "job",
        "Background job",
        "The view responds at once. The job goes on and reports its progress.",
    ),
    Scenario(
        "drain",
        "Restart",
        "A child server gets SIGTERM: its stream ends complete, its WebSocket with 1012.",
    ),
)
