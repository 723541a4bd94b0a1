"""Play the scenarios without a browser, for ``manage.py scenarios`` and the tests."""

import asyncio
import json
import operator
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from .table import SCENARIOS, Check, Scenario, Send, shown

# How many seconds to wait for anything. The last scenario starts a server first.
PATIENCE = 60.0

Seen = dict[str, Any]

HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "is": operator.eq,
    "at least": operator.ge,
    "at most": operator.le,
    "matches": lambda seen, pattern: re.search(pattern, seen) is not None,
    "same as": operator.eq,
}
# Whether a message of the live view belongs to what has been seen so far.
BELONGS: dict[str, Callable[[Seen, Seen, Check], bool]] = {
    "record": lambda message, seen, _: (
        message.get("kind") in ("request", "websocket") and message["id"] == seen["id"]
    ),
    "preflight": lambda message, seen, _: (
        message.get("method") == "OPTIONS" and message["path"] == seen["path"]
    ),
    "log": lambda message, seen, check: (
        message.get("kind") == "log"
        and message["id"] == seen["id"]
        and HOLDS["matches"](_line(message), check.value)
    ),
    "job": lambda message, seen, _: (
        message.get("type") == "job"
        and message["id"] == seen["body"]["job"]
        and message["done"] == message["total"]
    ),
}


@dataclass(frozen=True)
class Observation:
    """What was observed, and whether that was as expected."""

    ok: bool
    observed: str


class Site:
    """A running example as its page sees it: responses, and the live view."""

    def __init__(self, url: httpx.URL, client: httpx.AsyncClient) -> None:
        origin = f"{url.scheme}://{url.netloc.decode()}"
        # The same server under another name, which is another origin to a browser.
        other = "localhost" if url.host == "127.0.0.1" else "127.0.0.1"
        self._origins = {
            "page": origin,
            "friend": f"{url.scheme}://{other}:{url.port}",
            "stranger": "null",
        }
        self._socket_origin = f"ws{origin.removeprefix('http')}"
        self._client = client
        self._cookie = ""
        self._messages: list[Seen] = []
        self._came = asyncio.Condition()

    async def watch(self) -> None:
        """Collect what the live view sends, until cancelled."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._client.cookies.items())
        async with connect(
            f"{self._socket_origin}/ws/live/",
            origin=Origin(self._origins["page"]),
            additional_headers={"cookie": cookies},
            proxy=None,
        ) as socket:
            async for text in socket:
                message = json.loads(text)
                async with self._came:
                    self._messages += message.get("events", [message])
                    self._came.notify_all()

    async def shown(self, wanted: Callable[[Seen], bool] | None = None, **fields: Any) -> Seen:
        """Wait for an event or message that is *wanted* and has all *fields*, and return it."""

        def fits(message: Seen) -> bool:
            has_all = all(message.get(name) == value for name, value in fields.items())
            return has_all and (wanted is None or wanted(message))

        async with asyncio.timeout(PATIENCE), self._came:
            await self._came.wait_for(lambda: any(map(fits, self._messages)))
        return next(filter(fits, self._messages))

    async def send(self, send: Send) -> Seen:
        """Send a request or open a WebSocket, and return what is seen of it."""
        path = send.path.replace("{new}", str(uuid4()))
        origin = self._origins[send.by]
        if send.method == "WebSocket":
            return await self._open(path, origin)
        seen: Seen = {"path": path}
        if send.by != "page" and send.size:
            asked = {"method": send.method, "headers": "content-type"}
            ask = {f"access-control-request-{name}": value for name, value in asked.items()}
            permission = await self._client.options(path, headers={"origin": origin, **ask})
            if not _readable(permission, origin, cookies=send.cookies):
                return {**seen, "read": False}
        headers = {**send.headers, "origin": origin}
        if send.size:
            headers["content-type"] = "application/json"
        if send.by == "page" and send.method == "POST":
            headers["x-csrftoken"] = self._client.cookies.get("csrftoken", "")
        if send.cookies and self._cookie:
            headers["cookie"] = self._cookie
        content = json.dumps("x" * (send.size - 2)) if send.size else None
        async with self._client.stream(
            send.method, path, headers=headers, content=content
        ) as response:
            if send.leave:
                await anext(response.aiter_bytes())
            else:
                await response.aread()
        # httpx does not send Secure cookies over plain HTTP, but browsers do so to this machine.
        self._cookie = response.headers.get("set-cookie", "").partition(";")[0] or self._cookie
        if send.by != "page" and not _readable(response, origin, cookies=send.cookies):
            return {**seen, "read": False}
        exposes = response.headers.get("access-control-expose-headers", "").lower()
        exposed = send.by == "page" or "x-request-id" in exposes.split(", ")
        return {
            **seen,
            "read": True,
            "status": response.status_code,
            "id": response.headers.get("x-request-id") if exposed else None,
            "body": None if send.leave else _body(response),
        }

    async def _open(self, path: str, origin: str) -> Seen:
        try:
            async with connect(
                self._socket_origin + path, origin=Origin(origin), proxy=None
            ) as socket:
                body = json.loads(await socket.recv())
        except InvalidStatus:
            return {"read": False}
        return {"read": True, "id": body["request_id"], "body": body}

    async def look(self, seen: Seen, check: Check) -> Any:
        """Return the value that *check* is about, and wait for the message that contains it."""
        name, *path = check.of.split(".")
        if name in BELONGS and (name == "log" or name not in seen):
            seen[name] = await self.shown(lambda message: BELONGS[name](message, seen, check))
        if name == "log":
            return _line(seen["log"])
        return _at(seen, [name, *path])


def _line(message: Seen) -> str:
    return f"{message['level']} {message['message']}"


def _at(seen: Any, path: list[str]) -> Any:
    for part in path:
        seen = seen[int(part)] if isinstance(seen, list) else (seen or {}).get(part)
    return seen


def _body(response: httpx.Response) -> Seen:
    if response.headers.get("content-type") == "application/json":
        return cast("Seen", response.json())
    return {"lines": len(response.text.splitlines())}


def _readable(response: httpx.Response, origin: str, *, cookies: bool) -> bool:
    """Tell whether a browser gives the response to a page of *origin*."""
    allowed = response.headers.get("access-control-allow-origin") == origin
    return allowed and (
        not cookies or response.headers.get("access-control-allow-credentials") == "true"
    )


async def _observe(site: Site, scenario: Scenario) -> Observation:
    seen: Seen = {}
    for send in scenario.send:
        seen = await site.send(send)
    ok, observed = True, []
    for check in scenario.expect:
        try:
            found = await site.look(seen, check)
        except TimeoutError:
            found = None
        value = _at(seen, check.value.split(".")) if check.how == "same as" else check.value
        holds = found is not None and HOLDS[check.how](found, value)
        ok = ok and holds
        observed.append(f"{check.label}: {shown(found)}{'' if holds else f', not {check.wanted}'}")
    return Observation(ok, "\n".join(observed))


async def play(url: str, only: str = "") -> AsyncGenerator[tuple[Scenario, Observation]]:
    """Play the scenarios with *only* in their name at *url*, one after the other."""
    async with watched(url) as site:
        for scenario in SCENARIOS:
            if only in scenario.name:
                try:
                    observation = await _observe(site, scenario)
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
