"""The middleware chain of a request, its thread switches, and what both rely on in Django."""

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, cast

import django
import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.messages.storage.base import BaseStorage
from django.contrib.sessions.backends.base import SessionBase
from django.core.asgi import get_asgi_application as get_djangos
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers import asgi, base
from django.core.signals import request_finished, request_started
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import URLResolver, include, path, register_converter
from django.urls.resolvers import RegexPattern
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from asgi_middleware import ThreadPool, ThreadPoolMiddleware, TimingMiddleware
from asgi_middleware.django import ASGIHandler, get_asgi_application
from asgi_middleware.django import handler as handler_module
from asgi_middleware.django.handler import with_globals
from asgi_middleware.django.stock import _IN_LOOP, in_loop
from asgi_middleware.testing import recording, request, stream
from asgi_middleware.testing.http import Response
from asgi_middleware.thread_pool.lease import RequestLease
from asgi_middleware.timing import RequestTiming
from asgi_middleware.types import ASGIApp

STOCK = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
LOCALE = "django.middleware.locale.LocaleMiddleware"
THIS = __name__


# --- pages and middleware ---


def sync_view(request: HttpRequest, **captured: object) -> HttpResponse:
    return HttpResponse(threading.current_thread().name)


async def async_view(request: HttpRequest, **captured: object) -> HttpResponse:
    return HttpResponse(threading.current_thread().name)


async def form(request: HttpRequest) -> HttpResponse:
    request.META["CSRF_COOKIE_NEEDS_UPDATE"] = "CSRF_COOKIE" in request.META
    return HttpResponse("form")


async def visits(request: HttpRequest) -> HttpResponse:
    session: Any = request.session
    await session.aset("visits", 1)
    return HttpResponse("visited")


async def streaming(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncGenerator[bytes]:
        yield b"part"

    return StreamingHttpResponse(parts())


def select(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("1")


def stopping(request: HttpRequest) -> HttpResponse:
    raise StopIteration("mine")


def given_by(request: HttpRequest) -> Any:
    # Only requests that came through ASGI have this attribute.
    return cast("Any", request).scope["state"]


def waiting(request: HttpRequest) -> HttpResponse:
    given_by(request)["reached"]()
    assert given_by(request)["let_go"].wait(30)
    return HttpResponse("late")


async def awaiting(request: HttpRequest) -> HttpResponse:
    given_by(request)["reached"]()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        given_by(request)["cancelled"].append("view")
        raise
    raise AssertionError


async def astreaming(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncGenerator[bytes]:
        yield b"first"
        given_by(request)["reached"]()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_by(request)["cancelled"].append("stream")
            raise

    return StreamingHttpResponse(parts())


def captured(request: HttpRequest, **arguments: object) -> HttpResponse:
    return HttpResponse(f"{arguments}")


class TenantPage:
    """A converter that reads what a middleware has set."""

    regex = "[a-z]+"

    def to_python(self, value: str) -> str:
        return f"{value} of {tenant.get()}"

    def to_url(self, value: str) -> str:
        return value


register_converter(TenantPage, "tenant_page")

urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("form/", form),
    path("visits/", visits),
    path("streaming/", streaming),
    path("select/", select),
    path("stopping/", stopping),
    path("waiting/", waiting),
    path("awaiting/", awaiting),
    path("astreaming/", astreaming),
    path("shop/", include([path("items/<int:number>/", async_view)])),
]


# With a converter that is not Django's.
urls_with_pages = [*urlpatterns, path("pages/<tenant_page:page>/", captured)]


class Counted:
    """Counts its instances: each chain has one."""

    sync_capable = True
    async_capable = True
    made: list[bool]
    slow: threading.Event | None = None

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        is_async = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]
        type(self).made.append(is_async)
        if is_async:
            markcoroutinefunction(self)
        elif self.slow is not None:
            self.slow.wait(0.2)

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)


class CountedForAsync(Counted):
    sync_capable = False


class OnlyAsAsync(Counted):
    """Claims to support sync views, but cannot be loaded for them."""

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        if not self.made[-1]:
            raise TypeError("not for sync views")


class ThirdParty(MiddlewareMixin):
    def process_request(self, request: Any) -> None:
        request.seen = [*getattr(request, "seen", []), "request"]

    def process_response(self, request: Any, response: Any) -> Any:
        response["X-Seen"] = " ".join(request.seen)
        return response


class TellsItsEnd(MiddlewareMixin):
    def process_response(self, request: Any, response: Any) -> Any:
        given_by(request)["ended"].set()
        return response


class ToAsync(MiddlewareMixin):
    """Sends requests for a sync page to an async one, by changing their path."""

    def process_request(self, request: Any) -> None:
        if request.path_info == "/sync/":
            request.path_info = "/async/"


class DatabaseHosts(list[str]):
    """An ALLOWED_HOSTS that queries the database."""

    def __iter__(self) -> Iterator[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'testserver'")
            return iter([cursor.fetchone()[0]])


tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Tenant(MiddlewareMixin):
    def process_request(self, request: Any) -> None:
        tenant.set("ann")


TWELVE = [*STOCK[:3], LOCALE, *STOCK[3:], *[f"{THIS}.ThirdParty"] * 4]


@pytest.fixture(autouse=True)
def _project() -> Iterator[None]:
    Counted.made = []
    Counted.slow = None
    with override_settings(
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=STOCK,
        MESSAGE_STORAGE="django.contrib.messages.storage.fallback.FallbackStorage",
        ROOT_URLCONF=THIS,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    ):
        yield


def handler() -> ASGIApp:
    return recording(get_asgi_application())


async def get(app: ASGIApp, target: str, **options: Any) -> Response:
    return await request(app, target=target, **options)


# --- thread switches ---


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The calls made in a thread, of the pool or of any executor."""
    calls: list[object] = []

    def counting(submit: Any) -> Any:
        def counted(executor: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(function)
            return submit(executor, function, *args, **kwargs)

        return counted

    monkeypatch.setattr(ThreadPoolExecutor, "submit", counting(ThreadPoolExecutor.submit))
    monkeypatch.setattr(RequestLease, "_put", counting(RequestLease._put))
    return calls


@asynccontextmanager
async def pooled(app: ASGIApp) -> AsyncGenerator[ASGIApp]:
    async with ThreadPool(size=2) as pool:
        yield ThreadPoolMiddleware(app, pool=pool)


COOKIE = {"cookie": f"csrftoken={'a' * 32}"}
UNSAFE = {**COOKIE, "x-csrftoken": "a" * 32}


@pytest.mark.parametrize(
    ("target", "middleware", "alone", "in_pool"),
    [
        pytest.param("/async/", STOCK, 0, 0, id="async view"),
        pytest.param("/sync/", STOCK, 2, 1, id="sync view"),
        pytest.param("/async/", [], 0, 0, id="async view, no middleware"),
        pytest.param("/sync/", [], 2, 1, id="sync view, no middleware"),
        pytest.param("/streaming/", STOCK, 0, 0, id="async stream"),
        pytest.param("/shop/items/7/", STOCK, 0, 0, id="async view, captured argument"),
        pytest.param("/form/", STOCK, 0, 0, id="async view, CSRF cookie"),
        pytest.param("/visits/", STOCK, 2, 1, id="async view, modified session"),
        pytest.param("/async/", [*STOCK, LOCALE], 0, 0, id="async view, language"),
        pytest.param("/sync/", TWELVE, 2, 1, id="sync view, twelve middleware"),
        pytest.param("/nowhere/", STOCK, 2, 1, id="no view"),
        pytest.param("/sync", STOCK, 2, 1, id="a slash is missing"),
    ],
)
async def test_each_kind_of_request_has_its_number_of_thread_switches(
    target: str, middleware: list[str], alone: int, in_pool: int, changes: list[object]
) -> None:
    with override_settings(MIDDLEWARE=middleware):
        app = handler()
        await get(app, target, headers=COOKIE)  # loads everything that is loaded only once

        changes.clear()
        await get(app, target, headers=COOKIE)
        of_one_alone = len(changes)
        async with pooled(app) as pooled_app:
            await get(pooled_app, target, headers=COOKIE)

    assert (of_one_alone, len(changes) - of_one_alone) == (alone, in_pool)


async def test_a_form_for_an_async_view_is_checked_in_a_thread(changes: list[object]) -> None:
    app = handler()

    async with pooled(app) as pooled_app:
        response = await get(pooled_app, "/form/", method="POST", headers=UNSAFE)

    assert response.status == 200
    assert len(changes) == 1


async def test_an_async_view_behind_stock_middleware_starts_no_thread() -> None:
    app = handler()
    before = set(threading.enumerate())

    response = await get(app, "/async/")

    assert response.text == threading.current_thread().name
    assert set(threading.enumerate()) <= before


async def test_receivers_of_a_project_are_called_in_the_thread_of_the_request() -> None:
    threads: list[threading.Thread] = []

    def note(**_: object) -> None:
        threads.append(threading.current_thread())

    app = handler()
    request_started.connect(note)
    request_finished.connect(note)
    try:
        response = await get(app, "/sync/")
    finally:
        request_started.disconnect(note)
        request_finished.disconnect(note)

    assert {thread.name for thread in threads} == {response.text}
    assert len(threads) == 2


# --- the chain for sync views ---

COUNTED = f"{THIS}.Counted"


async def test_the_chain_for_sync_views_is_made_when_the_first_request_needs_it() -> None:
    with override_settings(MIDDLEWARE=[*STOCK, COUNTED]):
        app = handler()
        at_startup = [*Counted.made]
        await get(app, "/async/")
        after_async = [*Counted.made]
        await get(app, "/sync/")
        await get(app, "/sync/")

    assert at_startup == after_async == [True]
    assert Counted.made == [True, False]


async def test_the_chain_for_sync_views_is_made_once_for_concurrent_requests() -> None:
    Counted.slow = threading.Event()
    with override_settings(MIDDLEWARE=[*STOCK, COUNTED]):
        app = handler()
        responses = await asyncio.gather(*(get(app, "/sync/") for _ in range(10)))

    assert [response.status for response in responses] == [200] * 10
    assert Counted.made == [True, False]


def test_the_chain_for_sync_views_is_made_once_for_several_event_loops() -> None:
    Counted.slow = threading.Event()
    statuses: list[int | None] = []

    def serve() -> None:
        statuses.append(asyncio.run(get(app, "/sync/")).status)

    with override_settings(MIDDLEWARE=[*STOCK, COUNTED]):
        app = handler()
        threads = [threading.Thread(target=serve) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert statuses == [200] * 4
    assert Counted.made == [True, False]


async def test_middleware_for_async_code_only_means_one_chain() -> None:
    with override_settings(MIDDLEWARE=[*STOCK, f"{THIS}.CountedForAsync"]):
        app = handler()
        response = await get(app, "/sync/")

    assert response.status == 200
    assert response.text != threading.current_thread().name
    assert Counted.made == [True]


async def test_middleware_that_cannot_be_loaded_for_sync_views_means_one_chain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with override_settings(MIDDLEWARE=[*STOCK, f"{THIS}.OnlyAsAsync"]):
        app = handler()
        logging.getLogger().addHandler(caplog.handler)  # django.setup() has removed it
        responses = [await get(app, "/sync/") for _ in range(2)]

    assert [response.status for response in responses] == [200, 200]
    assert Counted.made == [True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "MIDDLEWARE cannot be loaded for sync views; it runs as async code"
    ]


async def test_once_a_path_has_led_to_an_async_view_it_is_served_in_the_event_loop() -> None:
    with override_settings(MIDDLEWARE=[*STOCK, f"{THIS}.ToAsync"]):
        app = handler()
        await get(app, "/sync/")
        inner = cast("Any", app).app
        calls: list[object] = []
        inner._respond_in_thread = calls.append

        response = await get(app, "/sync/")

    assert response.text == threading.current_thread().name
    assert calls == []


@pytest.mark.parametrize(
    ("urls", "looked_up"),
    [
        pytest.param(urlpatterns, 1, id="Django's converters"),
        pytest.param(urls_with_pages, 2, id="a project's own converter"),
    ],
)
async def test_a_url_is_looked_up_once_if_only_the_path_decides(
    urls: list[Any], looked_up: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups: list[str] = []

    class Resolver(URLResolver):
        def resolve(self, path: str) -> Any:
            lookups.append(path)
            return super().resolve(path)

    resolver = Resolver(RegexPattern(r"^/"), urls)
    for module in (base, handler_module):
        monkeypatch.setattr(module, "get_resolver", lambda *_: resolver)
    with override_settings(MIDDLEWARE=[]):
        response = await get(handler(), "/sync/")

    assert response.status == 200
    assert lookups == ["/sync/"] * looked_up


@pytest.mark.parametrize(("target", "view"), [("/sync/", async_view), ("/async/", sync_view)])
async def test_a_request_class_may_have_a_urlconf_of_its_own(target: str, view: Any) -> None:
    class Own(ASGIHandler):
        class request_class(asgi.ASGIRequest):  # noqa: N801 -- Django's name
            urlconf: Any = (path(target[1:], view),)

    response = await get(recording(cast("Any", Own())), target)

    in_loop_thread = response.text == threading.current_thread().name
    assert in_loop_thread == (view is async_view)


async def test_a_converter_sees_what_middleware_has_set() -> None:
    urls: Any = ModuleType("urls")
    urls.urlpatterns = urls_with_pages
    with override_settings(MIDDLEWARE=[*STOCK, f"{THIS}.Tenant"], ROOT_URLCONF=urls):
        response = await get(handler(), "/pages/about/")

    assert response.text == "{'page': 'about of ann'}"


async def test_a_sync_view_that_raises_stopiteration_gets_a_500() -> None:
    # Under Django's handler on Python 3.11, the client never gets a response.
    response = await get(handler(), "/stopping/")

    assert response.status == 500


# --- clients that leave ---


@pytest.mark.parametrize("in_pool", [False, True], ids=["alone", "pooled"])
@pytest.mark.parametrize("make", [get_djangos, get_asgi_application], ids=["django", "ours"])
@pytest.mark.parametrize(
    ("target", "sent", "cancelled"),
    [
        pytest.param("/waiting/", [], [], id="sync view"),
        pytest.param("/awaiting/", [], ["view"], id="async view"),
        pytest.param("/astreaming/", [200, b"first"], ["stream"], id="stream"),
    ],
)
async def test_a_client_that_leaves_ends_its_request_as_under_djangos_handler(
    target: str, sent: list[object], cancelled: list[str], make: Any, in_pool: bool
) -> None:
    loop = asyncio.get_running_loop()
    reached = asyncio.Event()
    let_go = threading.Event()
    state: dict[str, Any] = {
        "reached": lambda: loop.call_soon_threadsafe(reached.set),
        "let_go": let_go,
        "cancelled": [],
    }
    finished: list[object] = []

    def note(sender: object, **_: object) -> None:
        finished.append(sender)

    app: ASGIApp = recording(make())
    request_finished.connect(note)
    try:
        async with AsyncExitStack() as stack:
            if in_pool:
                app = await stack.enter_async_context(pooled(app))
            async with stream(app, target=target, scope={"state": state}) as exchange:
                exchange.send_body(b"", more_body=False)
                await asyncio.wait_for(reached.wait(), 30)
                exchange.disconnect()
                for _ in range(20):
                    await asyncio.sleep(0)
                let_go.set()
                response = await exchange.finish()
    finally:
        request_finished.disconnect(note)

    shown = [message.get("status", message.get("body")) for message in response.messages]
    assert shown == sent
    assert state["cancelled"] == cancelled
    assert finished == [asgi.ASGIHandler]


async def test_middleware_runs_to_its_end_even_if_the_client_of_a_sync_view_leaves() -> None:
    loop = asyncio.get_running_loop()
    reached, let_go, ended = asyncio.Event(), threading.Event(), threading.Event()
    state = {
        "reached": lambda: loop.call_soon_threadsafe(reached.set),
        "let_go": let_go,
        "ended": ended,
    }
    with override_settings(MIDDLEWARE=[f"{THIS}.TellsItsEnd", *STOCK]):
        app = handler()
        async with stream(app, target="/waiting/", scope={"state": state}) as exchange:
            exchange.send_body(b"", more_body=False)
            await asyncio.wait_for(reached.wait(), 30)
            exchange.disconnect()
            for _ in range(20):
                await asyncio.sleep(0)
            let_go.set()
            response = await exchange.finish()

    assert response.messages == ()
    assert ended.wait(30)


# --- the record of a request ---


@pytest.mark.parametrize("in_pool", [False, True], ids=["alone", "pooled"])
@pytest.mark.parametrize(
    ("target", "route", "queries"),
    [
        pytest.param("/sync/", "sync/", 0, id="sync view"),
        pytest.param("/shop/items/7/", "shop/items/<int:number>/", 0, id="async view"),
        pytest.param("/select/", "select/", 1, id="a query"),
        pytest.param("/nowhere/", "unmatched", 0, id="no view"),
    ],
)
async def test_our_handler_records_the_route_and_the_queries_of_a_request(
    target: str, route: str, queries: int, in_pool: bool
) -> None:
    records: list[Any] = []
    async with AsyncExitStack() as stack:
        app = handler()
        if in_pool:
            app = await stack.enter_async_context(pooled(app))
        await get(TimingMiddleware(app, observers=[records.append]), target)

    [record] = records
    assert isinstance(record, RequestTiming)
    assert (record.route, record.database_queries) == (route, queries)
    assert (record.database_time > 0) == (queries > 0)


# --- Django's own middleware without a thread ---


def test_only_a_class_that_is_exactly_djangos_is_replaced() -> None:
    common: Any = import_string(STOCK[2])

    class Own(common):  # type: ignore[misc]
        pass

    lookalike = type("CommonMiddleware", (common,), {"__module__": common.__module__})

    replaced = in_loop(common)

    assert issubclass(replaced, common)
    assert replaced is not common
    assert replaced.__name__ == common.__name__
    for other in (Own, lookalike, sync_view, object()):
        assert in_loop(other) is other


def test_middleware_that_was_changed_by_others_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tracer, for example, wraps each middleware in a function."""
    seen: list[str] = []

    def tracing(name: str) -> Any:
        middleware = import_string(name)

        def traced(get_response: Any) -> Any:
            seen.append(name)
            return middleware(get_response)

        traced.async_capable = True  # type: ignore[attr-defined]
        return traced

    monkeypatch.setattr(base, "import_string", tracing)

    response = asyncio.run(get(handler(), "/async/"))

    assert response.status == 200
    assert seen == [*reversed(STOCK)]


def test_the_middleware_in_the_settings_stays_as_it_is() -> None:
    handler()

    assert settings.MIDDLEWARE == STOCK


@pytest.mark.parametrize("target", ["/async/", "/sync/"])
async def test_stock_middleware_that_queries_the_database_unexpectedly_runs_in_a_thread(
    target: str,
) -> None:
    with override_settings(ALLOWED_HOSTS=DatabaseHosts(["testserver"])):
        with pytest.raises(SynchronousOnlyOperation):
            list(DatabaseHosts())
        response = await get(handler(), target)

    assert response.status == 200


# --- what our handler relies on in Django ---


def names_in(function: Callable[..., Any]) -> set[str]:
    """Return the globals that the code of *function* uses, at any depth."""
    code = inspect.unwrap(function).__code__
    names, codes = set(code.co_names), [code]
    while codes:
        for constant in codes.pop().co_consts:
            if inspect.iscode(constant):
                names.update(constant.co_names)
                codes.append(constant)
    return names


def test_the_names_that_are_replaced_are_used_by_djangos_handler() -> None:
    assert {"signals", "sync_to_async"} <= names_in(asgi.ASGIHandler.handle)
    assert "import_string" in names_in(base.BaseHandler.load_middleware)


def test_django_uses_sync_to_async_only_to_close_responses() -> None:
    source = inspect.getsource(asgi.ASGIHandler.handle)

    assert source.count("sync_to_async(") == source.count("response.close)()") == 2
    assert source.count("signals.") == source.count(".asend(") == 2


def test_a_method_that_is_not_a_function_keeps_its_globals() -> None:
    class Odd:
        method = str

    odd: Any = Odd()

    assert with_globals(odd.method, anything=1) is odd.method


# The hooks of each middleware. Check a new hook before you add it: may it block?
HOOKS = {
    "AuthenticationMiddleware": {"process_request"},
    "CommonMiddleware": {"process_request", "process_response"},
    "ConditionalGetMiddleware": {"process_response"},
    "ContentSecurityPolicyMiddleware": {"process_request", "process_response"},
    "CsrfViewMiddleware": {"process_request", "process_view", "process_response"},
    "LocaleMiddleware": {"process_request", "process_response"},
    "MessageMiddleware": {"process_request", "process_response"},
    "SecurityMiddleware": {"process_request", "process_response"},
    "SessionMiddleware": {"process_request", "process_response"},
    "XFrameOptionsMiddleware": {"process_response"},
}
SINCE_6_0 = "django.middleware.csp.ContentSecurityPolicyMiddleware"


@pytest.mark.parametrize("name", _IN_LOOP)
def test_djangos_middleware_has_exactly_the_known_hooks(name: str) -> None:
    if name == SINCE_6_0 and django.VERSION < (6,):
        pytest.skip("new in Django 6.0")
    middleware = import_string(name)
    hooks = {hook for hook in dir(middleware) if hook.startswith("process_")}

    assert hooks == HOOKS[middleware.__name__]
    # Our subclasses override __acall__, and rely on __call__ to call it.
    assert middleware.__acall__ is MiddlewareMixin.__acall__
    assert middleware.__call__ is MiddlewareMixin.__call__
    assert "__acall__" in names_in(MiddlewareMixin.__call__)


def test_django_has_the_attributes_that_tell_whether_a_hook_may_block() -> None:
    session = SessionBase()
    storage = BaseStorage(HttpRequest())

    assert session.modified is False
    assert (storage.used, storage.added_new) == (False, False)
    assert {"status_code", "_resource_closers", "_handler_class"} <= {*dir(HttpResponse())}
    assert "csrf_processing_done" in inspect.getsource(import_string(STOCK[3]))


async def test_a_scope_that_is_not_http_raises_what_djangos_handler_raises() -> None:
    async def nothing(*_: object) -> Any: ...

    for make in (get_djangos, get_asgi_application):
        with pytest.raises(ValueError, match="Django can only handle ASGI/HTTP connections"):
            await make()({"type": "websocket"}, nothing, nothing)


def test_a_projects_own_handler_class_is_the_sender_of_its_signals() -> None:
    senders: list[object] = []

    class Own(ASGIHandler):
        pass

    def note(sender: object, **_: object) -> None:
        senders.append(sender)

    request_started.connect(note)
    request_finished.connect(note)
    try:
        asyncio.run(get(recording(cast("Any", Own())), "/async/"))
    finally:
        request_started.disconnect(note)
        request_finished.disconnect(note)

    assert senders == [Own, Own]
