"""Play the scenarios without a browser, and report what was observed."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from .table import SCENARIOS, Scenario

# How many seconds to wait for anything. The drain scenario starts a server first.
PATIENCE = 60.0
LENGTH_OF_NEW_ID = 32
# The logger of the views.
VIEWS = "example_project.inspector.scenarios.views"


@dataclass(frozen=True)
class Observation:
    """What was observed, and whether that was as expected."""

    ok: bool
    observed: str


class Site:
    """A running example as its page sees it: responses, and the live view."""

    def __init__(self, url: httpx.URL, client: httpx.AsyncClient) -> None:
        self.client = client
        self.origin = f"{url.scheme}://{url.netloc.decode()}"
        self.socket_origin = f"ws{self.origin.removeprefix('http')}"
        # The same server by another name, which is another origin to a browser.
        other = "localhost" if url.host == "127.0.0.1" else "127.0.0.1"
        self.page_origin = f"{url.scheme}://{other}:{url.port}"
        self._messages: list[dict[str, Any]] = []
        self._came = asyncio.Condition()

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        token = self.client.cookies.get("csrftoken") or ""
        headers = {"x-csrftoken": token, "origin": self.origin, **options.pop("headers", {})}
        return await self.client.post(path, headers=headers, **options)

    async def watch(self) -> None:
        """Collect what the live view sends, until cancelled."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())
        async with connect(
            f"{self.socket_origin}/ws/live/",
            origin=self.origin,  # type: ignore[arg-type]
            additional_headers={"cookie": cookies},
            proxy=None,
        ) as socket:
            async for text in socket:
                message = json.loads(text)
                async with self._came:
                    self._messages += message.get("events", [message])
                    self._came.notify_all()

    async def shown(self, **wanted: Any) -> dict[str, Any]:
        """Wait for an event or message that has all of *wanted*, and return the first one."""

        def found() -> list[dict[str, Any]]:
            return [
                message
                for message in self._messages
                if all(message.get(name) == value for name, value in wanted.items())
            ]

        async with asyncio.timeout(PATIENCE), self._came:
            await self._came.wait_for(found)
        return found()[0]


Play = Callable[[Site], Awaitable[Observation]]


async def _allowed_origin(site: Site) -> Observation:
    response = await site.get("/scenarios/allowed/", origin=site.page_origin)
    allowed = response.headers.get("access-control-allow-origin")
    return Observation(
        allowed == site.page_origin and "x-request-id" in _listed(response, "expose-headers"),
        f"allowed: {allowed}",
    )


async def _refused_origin(site: Site) -> Observation:
    response = await site.get("/scenarios/allowed/", origin="null")
    allowed = response.headers.get("access-control-allow-origin")
    return Observation(
        response.status_code == 200 and allowed is None,
        f"{response.status_code}, allowed: {allowed}",
    )


async def _preflight(site: Site) -> Observation:
    request_id = _id()
    response = await site.client.options(
        "/scenarios/allowed/",
        headers={
            "origin": site.page_origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
            "x-request-id": request_id,
        },
    )
    event = await site.shown(kind="request", id=request_id)
    seen = (response.status_code, event["cors"], event["route"])
    return Observation(seen == (204, "preflight allowed", "unmatched"), _words(*seen))


async def _credentials(site: Site) -> Observation:
    page = {"origin": site.page_origin}
    set_cookie = (await site.client.post("/scenarios/cookie/", headers=page)).headers["set-cookie"]
    # As a browser does. httpx sends no Secure cookies over plain HTTP.
    cookie = set_cookie.partition(";")[0]
    response = await site.get("/scenarios/allowed/", **page, cookie=cookie)
    arrived = response.json()["cookie"]
    allowed = response.headers.get("access-control-allow-credentials")
    return Observation(
        arrived and allowed == "true" and "samesite=none" in set_cookie.lower(),
        f"cookie arrived: {_yes(arrived)}, credentials allowed: {allowed}",
    )


async def _slow(site: Site) -> Observation:
    request_id = _id()
    await site.get("/scenarios/slow/", **{"x-request-id": request_id})
    event = await site.shown(kind="request", id=request_id)
    phases = {phase["name"]: phase["duration"] for phase in event["phases"]}
    waited = phases.get("wait", 0)
    return Observation(waited >= 900, f"waited for {waited:.0f} ms of {event['duration']:.0f} ms")


async def _raises(site: Site) -> Observation:
    request_id = _id()
    response = await site.get("/fail/", **{"x-request-id": request_id})
    line = await site.shown(kind="log", id=request_id, logger="django.request")
    event = await site.shown(kind="request", id=request_id)
    echoed = response.headers.get("x-request-id") == request_id
    seen = (response.status_code, event["outcome"], line["level"])
    return Observation(echoed and seen == (500, "ok", "ERROR"), _words(*seen))


async def _upload(site: Site) -> Observation:
    request_id = _id()
    path, headers = "/scenarios/upload/", {"x-request-id": request_id}
    response = await site.post(path, content=b"x" * 2_000, headers=headers)
    event = await site.shown(kind="request", id=request_id)
    seen = (response.status_code, event["outcome"])
    return Observation(seen == (413, "refused"), _words(*seen))


async def _late(site: Site) -> Observation:
    request_id = _id()
    response = await site.get("/scenarios/late/", **{"x-request-id": request_id})
    event = await site.shown(kind="request", id=request_id)
    line = await site.shown(
        kind="log", id=request_id, logger="example_project.inspector.scenarios.views"
    )
    seen = (response.status_code, event["outcome"])
    return Observation(seen == (504, "timeout"), _words(*seen, line["message"]))


async def _stream(site: Site) -> Observation:
    request_id = _id()
    response = await site.get("/scenarios/stream/", **{"x-request-id": request_id})
    event = await site.shown(kind="request", id=request_id)
    lines = response.text.splitlines()
    streamed = event["duration"] - event["ttfb"]
    return Observation(
        len(lines) == 5 and streamed >= 900,
        f"{len(lines)} lines, the last byte {streamed:.0f} ms after the first",
    )


async def _client_leaves(site: Site) -> Observation:
    request_id = _id()
    path, headers = "/scenarios/stream/", {"x-request-id": request_id}
    async with site.client.stream("GET", path, headers=headers) as response:
        await anext(response.aiter_bytes())
    event = await site.shown(kind="request", id=request_id)
    line = await site.shown(
        kind="log", id=request_id, logger="example_project.inspector.scenarios.views"
    )
    return Observation(event["outcome"] == "disconnect", _words(event["outcome"], line["message"]))


async def _forged_id(site: Site) -> Observation:
    return await _refused_id(site, "<script>alert(1)</script>")


async def _overlong_id(site: Site) -> Observation:
    return await _refused_id(site, "a" * 201)


async def _refused_id(site: Site, forged: str) -> Observation:
    response = await site.get("/scenarios/allowed/", **{"x-request-id": forged})
    new = response.headers["x-request-id"]
    is_new = new != forged and len(new) == LENGTH_OF_NEW_ID
    is_seen = response.json()["request_id"] == new
    return Observation(is_new and is_seen, f"new ID: {new}")


async def _websocket_user(site: Site) -> Observation:
    async with connect(
        f"{site.socket_origin}/ws/echo/",
        origin=site.origin,  # type: ignore[arg-type]
        proxy=None,
    ) as socket:
        welcome = json.loads(await socket.recv())
    logger = "example_project.inspector.consumers"
    line = await site.shown(kind="log", id=welcome["request_id"], logger=logger)
    return Observation(welcome["type"] == "welcome", f"{welcome['user']}; {line['message']}")


async def _websocket_origin(site: Site) -> Observation:
    try:
        async with connect(
            f"{site.socket_origin}/ws/echo/",
            origin="null",  # type: ignore[arg-type]
            proxy=None,
        ):
            return Observation(False, "let in")
    except InvalidStatus as refused:
        status = refused.response.status_code
    return Observation(status == 403, f"refused with {status}")


async def _burst(site: Site) -> Observation:
    counts = (await site.post("/scenarios/burst/")).json()
    return Observation(
        counts["responses"] == 40 and 0 < counts["at_work"] <= counts["bound"],
        f"{counts['responses']} responses, at most {counts['at_work']} at work",
    )


async def _job(site: Site) -> Observation:
    response = await site.post("/scenarios/job/")
    done = await site.shown(type="job", id=response.json()["job"], done=10)
    return Observation(
        (response.status_code, done["total"]) == (202, 10),
        f"{response.status_code}, then {done['done']} of {done['total']} steps",
    )


async def _drain(site: Site) -> Observation:
    response = await site.post("/scenarios/drain/", timeout=PATIENCE)
    ending = response.json()
    complete, code = ending.get("stream_complete"), ending.get("websocket_close")
    return Observation(
        (complete, code) == (True, 1012),
        f"stream complete: {_yes(complete)}, WebSocket closed with {code}",
    )


PLAYS: dict[str, Play] = {
    "allowed-origin": _allowed_origin,
    "refused-origin": _refused_origin,
    "preflight": _preflight,
    "credentials": _credentials,
    "slow": _slow,
    "raises": _raises,
    "upload": _upload,
    "late": _late,
    "stream": _stream,
    "client-leaves": _client_leaves,
    "forged-id": _forged_id,
    "overlong-id": _overlong_id,
    "websocket-user": _websocket_user,
    "websocket-origin": _websocket_origin,
    "burst": _burst,
    "job": _job,
    "drain": _drain,
}


async def play(url: str, only: str = "") -> AsyncGenerator[tuple[Scenario, Observation]]:
    """Play the scenarios with *only* in their name at *url*, one after the other."""
    async with watched(url) as site:
        for scenario in SCENARIOS:
            if only in scenario.name:
                try:
                    observation = await PLAYS[scenario.name](site)
                except Exception as error:  # noqa: BLE001 -- the error is what was observed
                    observation = Observation(False, f"{type(error).__name__}: {error}")
                yield scenario, observation


@asynccontextmanager
async def watched(url: str) -> AsyncGenerator[Site]:
    """Yield the site at *url*, once its live view is connected."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        (await client.get("/")).raise_for_status()  # sets the CSRF cookie, which POSTs need
        site = Site(client.base_url, client)
        watching = asyncio.create_task(site.watch())
        try:
            hello = asyncio.create_task(site.shown(type="hello"))
            await asyncio.wait({hello, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                hello.cancel()
                await watching  # raises
            yield site
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def _id() -> str:
    return f"scenario-{uuid4().hex}"


def _listed(response: httpx.Response, name: str) -> list[str]:
    value: str = response.headers.get(f"access-control-{name}", "")
    return [each.strip().lower() for each in value.split(",")]


def _words(*parts: object) -> str:
    return ", ".join(map(str, parts))


def _yes(condition: object) -> str:
    return "yes" if condition else "no"
