"""What scripts in a real browser see of a Django project behind the layers.

The pages are on ``http://localhost`` and ``http://127.0.0.1``, with the same port. For CORS, these
are two origins. For cookies, they are two sites.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.server import Server

from .conftest import OpenPage

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="session")]

ALLOWED, OTHER = "localhost", "127.0.0.1"
NETWORK_ERROR = "TypeError: Failed to fetch"

FETCH = """
    async ([url, options]) => {
        try {
            const response = await fetch(url, options);
            const headers = Object.fromEntries(response.headers);
            return {status: response.status, headers, body: await response.text()};
        } catch (error) {
            return String(error);
        }
    }
"""
FETCH_JSON = "async ([url, options]) => (await fetch(url, options)).json()"
SERVER_TIMING = """
    async (url) => {
        const observed = new Promise((resolve) => new PerformanceObserver((list, observer) => {
            const [entry] = list.getEntriesByName(url);
            if (!entry) return;
            observer.disconnect();
            resolve(entry.serverTiming.map(({name}) => name));
        }).observe({type: "resource"}));
        await fetch(url);
        return observed;
    }
"""
SOCKET = """
    (url) => new Promise((resolve) => {
        const events = [], socket = new WebSocket(url);
        socket.onopen = () => { events.push("open"); socket.send("hello"); };
        socket.onmessage = ({data}) => { events.push(data); socket.close(1000); };
        socket.onerror = () => events.push("error");
        socket.onclose = ({code}) => resolve([...events, code]);
    })
"""


async def test_a_script_reads_the_response_to_a_simple_request(
    open_page: OpenPage, site: Server
) -> None:
    page = await open_page(ALLOWED)

    seen = await page.evaluate(FETCH_JSON, [_url(OTHER, site, "/show/"), {}])

    assert seen["method"] == "GET"


async def test_a_script_reads_the_exposed_headers(open_page: OpenPage, site: Server) -> None:
    page = await open_page(ALLOWED)

    response = await page.evaluate(FETCH, [_url(OTHER, site, "/show/"), {}])

    assert set(response["headers"]) == {
        *("content-length", "content-type"),  # which need no permission
        *("server-timing", "x-request-id"),
    }


@pytest.mark.parametrize(
    ("options", "arrived"),
    [
        pytest.param({"headers": {"X-Note": "hi"}}, {"method": "GET", "x_note": "hi"}, id="header"),
        pytest.param(
            {
                "method": "POST",
                "headers": {"Content-Type": "application/json"},
                "body": '{"a": 1}',
            },
            {"method": "POST", "content_type": "application/json", "body": '{"a": 1}'},
            id="JSON",
        ),
        pytest.param({"method": "PUT", "body": "b"}, {"method": "PUT", "body": "b"}, id="PUT"),
    ],
)
async def test_a_request_follows_its_preflight(
    options: dict[str, Any],
    arrived: dict[str, str],
    open_page: OpenPage,
    site: Server,
    request: pytest.FixtureRequest,
) -> None:
    page = await open_page(ALLOWED)
    target = f"/show/?{request.node.callspec.id}"

    seen = await page.evaluate(FETCH_JSON, [_url(OTHER, site, target), options])

    assert {name: seen[name] for name in arrived} == arrived
    assert _methods(site, target) == ["OPTIONS", arrived["method"]]


async def test_one_preflight_is_enough_for_all_methods(open_page: OpenPage, site: Server) -> None:
    page = await open_page(ALLOWED)
    target = "/show/?one-preflight"

    for method in ("PUT", "DELETE", "PUT"):
        await page.evaluate(FETCH_JSON, [_url(OTHER, site, target), {"method": method}])

    assert _methods(site, target) == ["OPTIONS", "PUT", "DELETE", "PUT"]


@pytest.mark.parametrize(
    ("host", "options", "methods"),
    [
        # The app still gets the request: CORS keeps responses from scripts, not requests from
        # the app.
        pytest.param(OTHER, {}, ["GET"], id="origin"),
        pytest.param(OTHER, {"method": "PUT"}, ["OPTIONS"], id="origin of a preflight"),
        pytest.param(ALLOWED, {"method": "PATCH"}, ["OPTIONS"], id="method"),
        pytest.param(ALLOWED, {"headers": {"X-Other": "1"}}, ["OPTIONS"], id="header"),
    ],
)
async def test_a_refused_request_is_a_network_error_to_the_script(
    host: str,
    options: dict[str, Any],
    methods: list[str],
    open_page: OpenPage,
    site: Server,
    request: pytest.FixtureRequest,
) -> None:
    page = await open_page(host)
    other = ALLOWED if host == OTHER else OTHER
    target = f"/show/?refused-{request.node.callspec.id.replace(' ', '-')}"

    observed = await page.evaluate(FETCH, [_url(other, site, target), options])

    assert observed == NETWORK_ERROR
    assert _methods(site, target) == methods


async def test_a_page_reads_the_responses_of_its_own_origin(
    open_page: OpenPage, site: Server
) -> None:
    page = await open_page(OTHER)

    # The browser sends `Origin` with a POST, and the policy does not list this origin.
    seen = await page.evaluate(FETCH_JSON, [_url(OTHER, site, "/show/"), {"method": "POST"}])

    assert seen["method"] == "POST"


@pytest.mark.parametrize(
    ("attributes", "credentials", "cookies"),
    [
        # Chromium accepts `Secure` from http://localhost and http://127.0.0.1. It blocks
        # third-party cookies here, unless they are `Partitioned`.
        pytest.param(
            "SameSite=None; Secure; Partitioned", "include", {"session": "me"}, id="credentialed"
        ),
        pytest.param("SameSite=None; Secure; Partitioned", "omit", {}, id="not credentialed"),
        pytest.param("SameSite=None; Secure; Partitioned", "same-origin", {}, id="by default"),
        pytest.param("SameSite=None", "include", {}, id="not Secure"),
        pytest.param("SameSite=Lax", "include", {}, id="same site only"),
    ],
)
async def test_a_browser_sends_cookies_only_as_their_attributes_allow(
    attributes: str,
    credentials: str,
    cookies: dict[str, str],
    open_page: OpenPage,
    site: Server,
) -> None:
    page = await open_page(ALLOWED)
    sign_in = _url(OTHER, site, f"/sign-in/?attributes={attributes.replace(' ', '')}")
    await page.evaluate(FETCH, [sign_in, {"credentials": "include"}])

    options = {"method": "PUT", "credentials": credentials}
    seen = await page.evaluate(FETCH_JSON, [_url(OTHER, site, "/show/"), options])

    assert seen["cookies"] == cookies


@pytest.mark.parametrize(
    ("path", "observed"),
    [
        pytest.param("/missing/", 404, id="no such page"),
        pytest.param("/fail/", 500, id="view raises"),
        pytest.param("/layer-fails/", 500, id="layer around Django raises"),
        pytest.param("/bare/layer-fails/", NETWORK_ERROR, id="the same, without error_responses"),
    ],
)
async def test_a_script_can_tell_an_error_from_a_refusal(
    path: str, observed: int | str, open_page: OpenPage, site: Server
) -> None:
    page = await open_page(ALLOWED)

    response = await page.evaluate(FETCH, [_url(OTHER, site, path), {}])

    assert (response["status"] if isinstance(response, dict) else response) == observed


async def test_a_script_reads_the_timings_in_the_header(open_page: OpenPage, site: Server) -> None:
    page = await open_page(ALLOWED)

    response = await page.evaluate(FETCH, [_url(OTHER, site, "/show/"), {}])

    assert re.match(r"app;dur=\d+\.\d", response["headers"]["server-timing"])


@pytest.mark.parametrize(
    ("path", "names"),
    [
        pytest.param("/show/", ["app"], id="timing_allow_origin"),
        pytest.param("/bare/show/", [], id="CORS alone"),
    ],
)
async def test_performance_entries_have_the_timings(
    path: str, names: list[str], open_page: OpenPage, site: Server
) -> None:
    page = await open_page(ALLOWED)

    assert await page.evaluate(SERVER_TIMING, _url(OTHER, site, path)) == names


@pytest.mark.parametrize(
    ("host", "path", "observed"),
    [
        pytest.param(OTHER, "/own/", ["open", "hello", 1000], id="own origin"),
        pytest.param(ALLOWED, "/listed/", ["open", "hello", 1000], id="listed origin"),
        pytest.param(ALLOWED, "/own/", ["error", 1006], id="another origin"),
    ],
)
async def test_a_websocket_opens_only_from_an_allowed_origin(
    host: str, path: str, observed: list[str | int], open_page: OpenPage, site: Server
) -> None:
    page = await open_page(host)

    assert await page.evaluate(SOCKET, f"ws://{OTHER}:{site.port}{path}") == observed


async def test_a_page_on_a_host_with_a_trailing_dot_opens_its_own_websocket(
    open_page: OpenPage, site: Server
) -> None:
    page = await open_page("localhost.")

    for host, expected in (
        ("localhost.", ["open", "hello", 1000]),
        ("localhost", ["error", 1006]),  # another origin
    ):
        assert await page.evaluate(SOCKET, f"ws://{host}:{site.port}/own/") == expected


@pytest.mark.parametrize(
    ("host", "path", "observed"),
    [
        pytest.param(ALLOWED, "/own/", ["error", 1006], id="another Host"),
        pytest.param(ALLOWED, "/forwarded/", ["open", "hello", 1000], id="a trusted proxy"),
        pytest.param(OTHER, "/forwarded/", ["error", 1006], id="another origin"),
    ],
)
async def test_a_websocket_opens_through_a_trusted_proxy_that_forwards_the_host(
    host: str, path: str, observed: list[str | int], browser: "Browser", site: Server
) -> None:
    async with rewriting_host(site) as port, await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(f"http://{host}:{port}/")

        assert await page.evaluate(SOCKET, f"ws://{ALLOWED}:{port}{path}") == observed


@asynccontextmanager
async def rewriting_host(site: Server) -> AsyncGenerator[int]:
    """Listen on a port, and pass each connection on with another Host, as many proxies do."""

    async def passing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(OTHER, site.port)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            inner_writer.write(
                re.sub(
                    rb"\r\nHost: ([^\r]*)",
                    rb"\r\nHost: %s:%d\r\nX-Forwarded-Host: \1" % (OTHER.encode(), site.port),
                    head,
                    count=1,
                )
            )
            await asyncio.gather(passing(reader, inner_writer), passing(inner_reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            inner_writer.close()
            writer.close()

    server = await asyncio.start_server(proxied, OTHER)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_refused_websocket_is_a_403_in_the_console(
    open_page: OpenPage, site: Server
) -> None:
    page = await open_page(ALLOWED)
    # Not the message about the page's icon, which does not exist.
    async with page.expect_console_message(lambda each: "WebSocket" in each.text) as message:
        await page.evaluate(SOCKET, f"ws://{OTHER}:{site.port}/own/")

    assert "Unexpected response code: 403" in (await message.value).text


def _url(host: str, site: Server, target: str) -> str:
    return f"http://{host}:{site.port}{target}"


def _methods(site: Server, target: str) -> list[str]:
    """Return the methods of the requests for *target* that have reached the server."""
    return re.findall(rf'"(\w+) {re.escape(target)} HTTP', site.log())
