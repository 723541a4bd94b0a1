"""The client for the whole application: Django's own ``AsyncClient`` is the oracle."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template import Template, engines
from django.test import AsyncClient, override_settings, utils
from django.urls import path
from django.views.decorators.csrf import csrf_protect

from asgi_middleware import get_state, get_tasks, stack
from asgi_middleware.django import get_asgi_application
from asgi_middleware.testing import LifespanFailed
from asgi_middleware.testing.django import StackClient, override_state
from asgi_middleware.types import Receive, Scope, Send


@asynccontextmanager
async def prices(state: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    yield {"prices": {"apple": 3}}


# --- pages ---


def seen(request: HttpRequest) -> JsonResponse:
    """Show everything that a request carries."""
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "query": dict(request.GET.lists()),
            "form": dict(request.POST.lists()),
            "files": {name: request.FILES[name].read().decode() for name in request.FILES},  # type: ignore[union-attr]
            "body": "" if request.POST or request.FILES else request.body.decode("latin-1"),
            "type": request.content_type,
            "host": request.get_host(),
            "secure": request.is_secure(),
            "cookies": request.COOKIES,
            "mine": request.headers.get("X-Mine"),
            "language": request.headers.get("Accept-Language"),
        }
    )


async def seen_async(request: HttpRequest) -> JsonResponse:
    return seen(request)


def template(request: HttpRequest) -> HttpResponse:
    text = engines["django"].from_string("{{ word }} there")
    return HttpResponse(text.render({"word": "Hello"}, request))


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("set")
    response.set_cookie("plain", "1", max_age=60, samesite="Lax", secure=True)
    response.set_cookie("odd", 'a "b"; c', httponly=True)
    response.delete_cookie("old")
    return response


def partitioned(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Set-Cookie": "kept=1; Path=/; Partitioned; Secure"})


def to(request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect(request.GET["url"], status=int(request.GET.get("status", 302)))


def raising(request: HttpRequest) -> HttpResponse:
    raise KeyError("on purpose")


async def raising_async(request: HttpRequest) -> HttpResponse:
    raise KeyError("on purpose")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        yield str(get_state()["prices"]["apple"])
        await asyncio.sleep(0)
        yield " each"

    return StreamingHttpResponse(parts())


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


@csrf_protect
def protected(request: HttpRequest) -> HttpResponse:
    return HttpResponse("let in")


def session(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def state_sync(request: HttpRequest) -> JsonResponse:
    return JsonResponse(get_state()["prices"])


async def state_async(request: HttpRequest) -> JsonResponse:
    return JsonResponse(get_state()["prices"])


async def order(request: HttpRequest) -> HttpResponse:
    done = asyncio.Event()

    async def receipt() -> None:
        done.set()

    get_tasks().spawn(receipt, restart="never")
    await done.wait()
    return HttpResponse("sent")


urlpatterns = [
    path("seen/", seen),
    path("seen/async/", seen_async),
    path("séen/", seen),
    path("template/", template),
    path("cookies/", cookies),
    path("partitioned/", partitioned),
    path("to/", to),
    path("raising/", raising),
    path("raising/async/", raising_async),
    path("stream/", stream),
    path("empty/", empty),
    path("protected/", protected),
    path("session/", session),
    path("state/sync/", state_sync),
    path("state/async/", state_async),
    path("order/", order),
]

SETTINGS: dict[str, Any] = {
    "ROOT_URLCONF": __name__,
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "ALLOWED_HOSTS": ["testserver", "other.example", "localhost"],
    "SESSION_COOKIE_SECURE": False,
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # As in Django's test runner, so that clients record templates.
    runner: Any = utils
    monkeypatch.setattr(Template, "_render", runner.instrumented_test_render)
    with override_settings(**SETTINGS):
        yield


def whole(**options: Any) -> Any:
    application = stack(get_asgi_application(), lifespan=[prices])
    return StackClient(application=application, **options)


# --- the oracle ---

Call = Callable[[Any], Awaitable[Any]]
FILE = SimpleUploadedFile("a.txt", b"in a file")

CALLS: dict[str, Call] = {
    "get": lambda c: c.get("/seen/"),
    "async view": lambda c: c.get("/seen/async/"),
    "query in the path": lambda c: c.get("/seen/?a=1&a=2&b=%C3%A9"),
    "data of get": lambda c: c.get("/seen/", {"a": ["1", "é"]}),
    "form": lambda c: c.post("/seen/", {"a": "1", "b": ["2", "é"]}),
    "file": lambda c: c.post("/seen/", {"a": SimpleUploadedFile("a.txt", b"in a file")}),
    "json": lambda c: c.post("/seen/", {"a": [1]}, content_type="application/json"),
    "text": lambda c: c.put("/seen/", "some é", content_type="text/plain"),
    "patch": lambda c: c.patch("/seen/", {"a": 1}, content_type="application/json"),
    "delete": lambda c: c.delete("/seen/"),
    "options": lambda c: c.options("/seen/"),
    "head": lambda c: c.head("/seen/"),
    "query_params": lambda c: c.post("/seen/", {"a": "1"}, query_params={"b": ["2", "3"]}),
    "headers": lambda c: c.get("/seen/", headers={"X-Mine": "é", "Accept-Language": "nl"}),
    "secure": lambda c: c.get("/seen/", secure=True),
    "not found": lambda c: c.get("/nowhere/"),
    "template": lambda c: c.get("/template/"),
    "cookies": lambda c: c.get("/cookies/"),
    "204": lambda c: c.get("/empty/"),
    "redirect": lambda c: c.get("/to/", {"url": "/seen/"}),
    "followed": lambda c: c.get("/to/", {"url": "/seen/?a=1"}, follow=True),
    "followed, relative": lambda c: c.get("/to/", {"url": "/to/?url=/seen/"}, follow=True),
    "followed, post": lambda c: c.post("/to/?url=/seen/", {"a": 1}, follow=True),
    "slash is missing": lambda c: c.get("/seen", follow=True),
    "csrf is not enforced": lambda c: c.post("/protected/", {"a": 1}),
}


def looked_at(response: Any) -> dict[str, Any]:
    """Return what a test compares. Response headers are left out, because layers add some."""
    context = response.context
    return {
        "status": response.status_code,
        "content": response.content,
        "type": response.headers.get("Content-Type"),
        "location": getattr(response, "url", None),
        "cookies": {name: str(each) for name, each in response.cookies.items()},
        "chain": getattr(response, "redirect_chain", None),
        "templates": [each.source for each in response.templates],
        "word": context and context.get("word"),
        "path": response.asgi_request.path,
        "headers": dict(response.asgi_request.headers)
        | {"Host": None, "X-Request-Id": None, "Cookie": None},
        "view": response.resolver_match.func if response.status_code == 200 else None,
        "sent_to": response.request["path"],
        "exc_info": response.exc_info,
        "jar": {name: each.value for name, each in response.client.cookies.items()},
    }


@pytest.mark.parametrize("name", CALLS)
async def test_a_response_is_the_same_as_from_djangos_client(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Cookies that expire do so in the same second.
    monkeypatch.setattr("django.http.response.time", SimpleNamespace(time=lambda: 1.0e9))
    theirs = looked_at(await CALLS[name](AsyncClient()))
    async with whole() as client:
        ours = looked_at(await CALLS[name](client))

    assert ours == theirs


@pytest.mark.parametrize("page", ["/raising/", "/raising/async/"])
async def test_an_exception_of_a_view_is_raised_as_by_djangos_client(page: str) -> None:
    async with whole() as client:
        with pytest.raises(KeyError, match="on purpose"):
            await client.get(page)

    async with whole(raise_request_exception=False) as client:
        response = await client.get(page)

    assert (response.status_code, response.exc_info[0]) == (500, KeyError)


async def test_csrf_is_enforced_if_you_ask_for_it() -> None:
    async with whole(enforce_csrf_checks=True) as client:
        response = await client.post("/protected/", {"a": 1})

    assert response.status_code == 403


# --- what Django's client cannot do ---


async def test_a_request_passes_through_every_layer() -> None:
    async with whole() as client:
        page = await client.get("/seen/", headers={"X-Request-ID": "abc"})
        probe = await client.get("/readyz")
        strange = await client.options(
            "/seen/", headers={"Origin": "https://a.example", "X-Request-ID": "a b"}
        )

    assert page.headers["X-Request-ID"] == "abc"
    assert (probe.status_code, probe.json()["status"], probe.asgi_request) == (200, "ready", None)
    assert strange.headers["X-Request-ID"] != "a b"


@pytest.mark.parametrize("view", ["sync", "async"])
async def test_views_have_what_startup_opened(view: str) -> None:
    async with whole() as client:
        response = await client.get(f"/state/{view}/")

    assert response.json() == {"apple": 3}


async def test_a_stream_is_complete() -> None:
    async with whole() as client:
        response = await client.get("/stream/")

    assert response.text == "3 each"


async def test_tasks_run() -> None:
    async with whole() as client:
        assert (await client.get("/order/")).text == "sent"


async def test_an_overridden_state_replaces_the_state_of_startup() -> None:
    async with whole() as client:
        with override_state(prices={"apple": 4}):
            overridden = await client.get("/state/sync/")
            ordered = await client.get("/order/")
        after = await client.get("/state/sync/")

    assert overridden.json() == {"apple": 4}
    assert ordered.text == "sent"  # the tasks are still those of the application
    assert after.json() == {"apple": 3}


async def test_cookies_and_sessions_are_kept() -> None:
    async with whole() as client:
        visits = [(await client.get("/session/")).text for _ in range(3)]

    assert visits == ["1", "2", "3"]


async def test_a_cookie_with_an_attribute_that_python_does_not_know_is_kept() -> None:
    async with whole() as client:
        response = await client.get("/partitioned/")

    assert response.cookies["kept"].value == "1"
    assert response.cookies["kept"]["secure"]


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_a_redirect_to_another_host_is_followed(status: int) -> None:
    async with whole() as client:
        response = await client.post(
            "/to/", {"a": "1"}, query_params=None, follow=True,
            QUERY_STRING=f"url=https://other.example/seen/&status={status}",
        )  # fmt: skip

    shown = response.json()
    assert (shown["host"], shown["secure"], shown["path"]) == ("other.example", True, "/seen/")
    assert shown["method"] == ("GET" if status == 302 else "POST")
    assert response.redirect_chain == [("https://other.example/seen/", status)]


async def test_a_host_header_replaces_testserver() -> None:
    async with whole() as client:
        response = await client.get("/seen/", headers={"host": "localhost"})

    assert response.json()["host"] == "localhost"


async def test_a_path_is_decoded_as_by_a_server() -> None:
    async with whole() as client:
        response = await client.get("/s%C3%A9en/")

    assert response.json()["path"] == "/séen/"


async def test_a_client_must_be_started() -> None:
    client = whole()
    with pytest.raises(RuntimeError, match=r"use async with StackClient\(\) as client:"):
        await client.get("/seen/")

    async with client:
        assert (await client.get("/seen/")).status_code == 200
    with pytest.raises(RuntimeError, match="has not started"):
        await client.get("/seen/")
    async with client:
        assert (await client.get("/seen/")).status_code == 200


async def test_concurrent_requests_each_get_their_own_response() -> None:
    async with whole() as client:
        responses = await asyncio.gather(
            *(client.get("/seen/", {"n": str(number)}) for number in range(10))
        )

    assert [each.json()["query"]["n"] for each in responses] == [[str(n)] for n in range(10)]
    assert [each.asgi_request.GET["n"] for each in responses] == [str(n) for n in range(10)]


async def test_a_failed_startup_is_raised() -> None:
    @asynccontextmanager
    async def fails(_state: object) -> AsyncGenerator[None]:
        raise RuntimeError("no database")
        yield

    application = stack(get_asgi_application(), lifespan=[fails])
    with pytest.raises(LifespanFailed, match="no database"):
        async with StackClient(application=application):
            pass


async def test_an_application_without_lifespan_is_served_too() -> None:
    async with StackClient(application=get_asgi_application()) as client:
        assert (await client.get("/seen/")).status_code == 200


async def test_the_default_application_is_that_of_the_settings() -> None:
    with override_settings(ASGI_APPLICATION=f"{__name__}.by_name"):
        async with StackClient() as client:
            assert (await client.get("/anything/")).content == b"by name"


async def by_name(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise ValueError
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"by name"})


async def test_headers_with_the_same_name_are_joined() -> None:
    async def links(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"link", b"</a>"), (b"Link", b"</b>"), (b"set-cookie", b"a=1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async with StackClient(application=links) as client:
        response = await client.get("/")

    assert response.headers["Link"] == "</a>, </b>"
    assert "Content-Type" not in response.headers
    assert response.cookies["a"].value == client.cookies["a"].value == "1"
