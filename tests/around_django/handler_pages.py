"""Pages and middleware for a comparison of two handlers: what projects do with Django."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from io import BytesIO
from typing import Any, cast

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib import messages
from django.contrib.auth import alogin, alogout, authenticate, login, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group, User
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.exceptions import (
    BadRequest,
    MiddlewareNotUsed,
    PermissionDenied,
    SuspiciousOperation,
)
from django.db import connection
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.middleware.csrf import CsrfViewMiddleware
from django.template import Context, RequestContext, Template, engines
from django.template.response import TemplateResponse
from django.urls import include, path, register_converter
from django.utils.decorators import method_decorator, sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext
from django.views import View
from django.views.decorators.cache import cache_page, never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt, csrf_protect, ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition, require_POST

set_by_a_view: ContextVar[str] = ContextVar("set_by_a_view", default="-")
set_by_middleware: ContextVar[str] = ContextVar("set_by_middleware", default="-")
set_by_the_caller: ContextVar[str] = ContextVar("set_by_the_caller", default="-")
local = threading.local()

FORM = Template("<form>{% csrf_token %}</form>")


def hello(request: Any, **captured: object) -> HttpResponse:
    return HttpResponse(f"hello {captured or ''}")


async def ahello(request: Any, **captured: object) -> HttpResponse:
    return HttpResponse(f"hello {captured or ''}")


# --- forms, users, sessions, messages ---


def form(request: Any) -> HttpResponse:
    if request.method == "POST":
        return HttpResponse(f"got {request.POST.get('field')}")
    return HttpResponse(FORM.render(RequestContext(request)))


async def aform(request: Any) -> HttpResponse:
    return form(request)


def sign_in(request: Any) -> HttpResponse:
    user = authenticate(request, username="ann", password="secret")
    assert user is not None
    login(request, user)
    return HttpResponseRedirect("/who/")


async def asign_in(request: Any) -> HttpResponse:
    user: Any = await User.objects.aget(username="ann")
    await alogin(request, user, "django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect("/awho/")


def sign_out(request: Any) -> HttpResponse:
    logout(request)
    return HttpResponseRedirect("/who/")


async def asign_out(request: Any) -> HttpResponse:
    await alogout(request)
    return HttpResponseRedirect("/awho/")


def who(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.user.username or 'nobody'}")


async def awho(request: Any) -> HttpResponse:
    user = await request.auser()
    return HttpResponse(f"{user.username or 'nobody'}")


def count(request: Any) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


async def acount(request: Any) -> HttpResponse:
    visits: int = await request.session.aget("visits", 0) + 1
    await request.session.aset("visits", visits)
    return HttpResponse(str(visits))


def visits(request: Any) -> HttpResponse:
    return HttpResponse(str(request.session.get("visits")))


async def avisits(request: Any) -> HttpResponse:
    return HttpResponse(str(await request.session.aget("visits")))


def flush(request: Any) -> HttpResponse:
    request.session.flush()
    return HttpResponse()


async def aflush(request: Any) -> HttpResponse:
    await request.session.aflush()
    return HttpResponse()


def expiring(request: Any) -> HttpResponse:
    request.session.set_expiry(0)
    return HttpResponse()


async def aexpiring(request: Any) -> HttpResponse:
    await request.session.aset_expiry(0)
    return HttpResponse()


def interrupted(request: Any) -> HttpResponse:
    request.session["visits"] = 1
    Session.objects.all().delete()
    return HttpResponse()


async def ainterrupted(request: Any) -> HttpResponse:
    await request.session.aset("visits", 1)
    await Session.objects.all().adelete()
    return HttpResponse()


def failing_session(request: Any) -> HttpResponse:
    request.session["visits"] = 100
    raise ValueError("mine")


async def afailing_session(request: Any) -> HttpResponse:
    await request.session.aset("visits", 100)
    raise ValueError("mine")


def own_session(request: Any) -> HttpResponse:
    request.session = {}
    return HttpResponse()


async def aown_session(request: Any) -> HttpResponse:
    return own_session(request)


def add_message(request: Any) -> HttpResponse:
    messages.success(request, gettext("saved"))
    return HttpResponseRedirect("/messages/")


async def aadd_message(request: Any) -> HttpResponse:
    messages.success(request, gettext("saved"))
    return HttpResponseRedirect("/messages/")


def add_many_messages(request: Any) -> HttpResponse:
    for number in range(40):
        messages.info(request, f"{number}" * 50)
    return HttpResponse()


def show_messages(request: Any) -> HttpResponse:
    return HttpResponse(", ".join(str(message) for message in messages.get_messages(request)))


async def ashow_messages(request: Any) -> HttpResponse:
    return HttpResponse(await sync_to_async(lambda: show_messages(request).content)())


# --- errors ---

ERRORS: dict[str, type[Exception]] = {
    "value": ValueError,
    "missing": Http404,
    "denied": PermissionDenied,
    "suspicious": SuspiciousOperation,
    "bad": BadRequest,
    "stop": StopIteration,
}


def failing(request: Any, kind: str) -> HttpResponse:
    raise ERRORS[kind]("mine")


async def afailing(request: Any, kind: str) -> HttpResponse:
    raise ERRORS[kind]("mine")


def nothing(request: Any) -> None:
    return None


async def anothing(request: Any) -> None:
    return None


class Callable:
    """An async view that Django takes for a sync one: it gets a coroutine as the response."""

    async def __call__(self, request: Any) -> HttpResponse:
        return HttpResponse()


# --- responses ---


def stream_sync(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"one", b"two"]))


async def astream_sync(request: Any) -> StreamingHttpResponse:
    return stream_sync(request)


def stream_async(request: Any) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0)
        yield await sync_to_async(lambda: b"two")()

    return StreamingHttpResponse(parts())


async def astream_async(request: Any) -> StreamingHttpResponse:
    return stream_async(request)


def stream_failing(request: Any) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("mine")

    return StreamingHttpResponse(parts())


async def astream_failing(request: Any) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("mine")

    return StreamingHttpResponse(parts())


def file(request: Any) -> FileResponse:
    return FileResponse(BytesIO(b"text"), filename="a.txt", as_attachment=True)


async def afile(request: Any) -> FileResponse:
    return file(request)


def large(request: Any) -> HttpResponse:
    return HttpResponse(b"x" * 200_000)


def template(request: Any) -> TemplateResponse:
    made: Any = engines["django"].from_string("{{ greeting }}, {{ request.path }}")
    return TemplateResponse(request, made, {"greeting": "hello"})


async def atemplate(request: Any) -> TemplateResponse:
    return template(request)


def failing_template(request: Any) -> TemplateResponse:
    made: Any = engines["django"].from_string("{% load cache %}{% cache x y %}{% endcache %}")
    return TemplateResponse(request, made, {})


async def afailing_template(request: Any) -> TemplateResponse:
    return failing_template(request)


def upload(request: Any) -> JsonResponse:
    uploaded = request.FILES["file"]
    return JsonResponse({"name": uploaded.name, "text": uploaded.read().decode()})


async def aupload(request: Any) -> JsonResponse:
    return upload(request)


def body(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.method} {request.body!r} {request.GET.dict()} {request.path}")


async def abody(request: Any) -> HttpResponse:
    return body(request)


def cookies(request: Any) -> HttpResponse:
    response = HttpResponse("text")
    response.set_cookie("b", "2", httponly=True)
    response.set_cookie("a", "1")
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response


async def acookies(request: Any) -> HttpResponse:
    return cookies(request)


def own_close(request: Any) -> HttpResponse:
    def close() -> None:
        request.scope["state"]["closed"].append(local_value())
        local.__dict__.clear()

    response: Any = HttpResponse("text")
    response._resource_closers.append(close)
    local.value = "set by the view"
    return cast("HttpResponse", response)


# --- context variables, thread-locals, threads ---


def local_value() -> str:
    return str(getattr(local, "value", "-"))


def contexts(request: Any) -> HttpResponse:
    seen = f"{set_by_the_caller.get()} {set_by_middleware.get()} {local_value()}"
    set_by_a_view.set("view")
    if set_by_middleware.get() == "sync only":
        local.value = "view"
    return HttpResponse(seen)


async def acontexts(request: Any) -> HttpResponse:
    seen = (
        f"{set_by_the_caller.get()} {set_by_middleware.get()} {await sync_to_async(local_value)()}"
    )
    set_by_a_view.set("view")
    return HttpResponse(seen)


async def calls_sync(request: Any) -> HttpResponse:
    first = await sync_to_async(threading.current_thread)()
    second = await sync_to_async(threading.current_thread)()
    users = await sync_to_async(User.objects.count)()
    return HttpResponse(f"{first is second} {users}")


def calls_async(request: Any) -> HttpResponse:
    async def inner() -> bool:
        return await sync_to_async(threading.current_thread)() is here

    here = threading.current_thread()
    return HttpResponse(f"{async_to_sync(inner)()} {User.objects.count()}")


# --- transactions ---


def write(request: Any) -> HttpResponse:
    Group.objects.create(name="written")
    if request.GET.get("fails"):
        raise ValueError("mine")
    return HttpResponse(f"{connection.in_atomic_block}")


async def awrite(request: Any) -> HttpResponse:
    await Group.objects.acreate(name="written")
    return HttpResponse()


def groups(request: Any) -> HttpResponse:
    return HttpResponse(str(Group.objects.count()))


# --- decorators and classes ---


class Sync(View):
    def get(self, request: Any) -> HttpResponse:
        return HttpResponse("sync")


class Async(View):
    async def get(self, request: Any) -> HttpResponse:
        return HttpResponse("async")

    @method_decorator(login_required)
    async def post(self, request: Any) -> HttpResponse:
        return HttpResponse("posted")


@cache_page(60)
def cached(request: Any) -> HttpResponse:
    made: Any = cache.get_or_set("made", 0)
    cache.set("made", made + 1)
    return HttpResponse(f"made {made}")


class UserConverter:
    """Queries the database, as the converters of some projects do."""

    regex = "[a-z]+"

    def to_python(self, value: str) -> Any:
        return User.objects.get(username=value).username

    def to_url(self, value: str) -> str:
        return value


register_converter(UserConverter, "known_user")

both: list[tuple[str, Any, Any]] = [
    ("hello/", hello, ahello),
    ("hello/<int:number>/", hello, ahello),
    ("form/", form, aform),
    ("sign-in/", sign_in, asign_in),
    ("sign-out/", sign_out, asign_out),
    ("who/", who, awho),
    ("count/", count, acount),
    ("visits/", visits, avisits),
    ("flush/", flush, aflush),
    ("expiring/", expiring, aexpiring),
    ("interrupted/", interrupted, ainterrupted),
    ("failing-session/", failing_session, afailing_session),
    ("own-session/", own_session, aown_session),
    ("add-message/", add_message, aadd_message),
    ("messages/", show_messages, ashow_messages),
    ("failing/<str:kind>/", failing, afailing),
    ("nothing/", nothing, anothing),
    ("stream-sync/", stream_sync, astream_sync),
    ("stream-async/", stream_async, astream_async),
    ("stream-failing/", stream_failing, astream_failing),
    ("file/", file, afile),
    ("template/", template, atemplate),
    ("failing-template/", failing_template, afailing_template),
    ("upload/", upload, aupload),
    ("body/", body, abody),
    ("cookies/", cookies, acookies),
    ("contexts/", contexts, acontexts),
    ("exempt/", csrf_exempt(body), csrf_exempt(abody)),
    ("protected/", csrf_protect(form), csrf_protect(aform)),
    ("csrf-cookie/", ensure_csrf_cookie(hello), ensure_csrf_cookie(ahello)),
    ("never-cached/", never_cache(hello), never_cache(ahello)),
    ("frame/", xframe_options_exempt(hello), xframe_options_exempt(ahello)),
    ("post-only/", csrf_exempt(require_POST(body)), csrf_exempt(require_POST(abody))),
    ("private/", login_required(hello), login_required(ahello)),
    ("class/", Sync.as_view(), Async.as_view()),
]
urlpatterns: list[Any] = [
    *(path(route, sync) for route, sync, _ in both),
    *(path(f"a{route}", asynchronous) for route, _, asynchronous in both),
    path("", hello),
    path("awrapped/", sync_to_async(who)),
    path("callable/", Callable()),
    path("large/", large),
    path("own-close/", own_close),
    path("add-many-messages/", add_many_messages),
    path("calls-sync/", calls_sync),
    path("calls-async/", calls_async),
    path("write/", write),
    path("awrite/", awrite),
    path("groups/", groups),
    path("cached/", cached),
    path("gzip/", gzip_page(large)),
    path("condition/", condition(etag_func=lambda request: '"a"')(hello)),
    path("users/<known_user:name>/", hello),
    path("shop/", include([path("items/<slug:name>/", ahello)])),
]


# --- middleware ---


def note(request: Any, text: str) -> None:
    request.scope["state"]["noted"].append(text)


class SyncOnly:
    """Sets a context variable and a thread-local, and notes what it finds after the view."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        set_by_middleware.set("sync only")
        local.value = "sync only"
        response = self.get_response(request)
        note(request, f"{set_by_a_view.get()} {local_value()} {response.status_code}")
        local.__dict__.clear()  # or the next request on this thread in a pool would find it
        response["X-Sync-Only"] = "1"
        return response


class AsyncOnly:
    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        await asyncio.sleep(0)
        set_by_middleware.set("async only")
        response = await self.get_response(request)
        note(request, f"{set_by_a_view.get()} {response.status_code}")
        return response


@sync_and_async_middleware
def function_based(get_response: Any) -> Any:
    if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]

        async def middleware(request: Any) -> Any:
            response = await get_response(request)
            response["X-Function"] = "1"
            return response

        return middleware

    def sync_middleware(request: Any) -> Any:
        response = get_response(request)
        response["X-Function"] = "1"
        return response

    return sync_middleware


class EveryHook(MiddlewareMixin):
    """Middleware as most third parties write it, with every hook."""

    def process_request(self, request: Any) -> Any:
        note(request, "request")
        local.value = "every hook"
        if request.GET.get("early"):
            return HttpResponse("early")
        if request.GET.get("raises"):
            raise PermissionDenied("early")
        return None

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        note(request, f"view {view.__name__ if hasattr(view, '__name__') else ''} {kwargs}")
        return HttpResponse("instead") if request.GET.get("instead") else None

    def process_template_response(self, request: Any, response: Any) -> Any:
        note(request, "template response")
        response.context_data["greeting"] = "goodbye"
        return response

    def process_exception(self, request: Any, error: Exception) -> Any:
        note(request, f"exception {type(error).__name__}")
        return HttpResponse("rescued") if request.GET.get("rescues") else None

    def process_response(self, request: Any, response: Any) -> Any:
        note(request, f"response {local_value()}")
        local.__dict__.clear()
        response["X-Every-Hook"] = "1"
        return response


class NotUsed:
    def __init__(self, get_response: Any) -> None:
        raise MiddlewareNotUsed("not here")


class OnlyAsAsync:
    """Claims to support sync views, but cannot be loaded for them."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        if not iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]
            raise TypeError("not for me")
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        return await self.get_response(request)


class Elsewhere(MiddlewareMixin):
    """Changes the URLconf or the path, as middleware for subdomains does."""

    def process_request(self, request: Any) -> None:
        if request.GET.get("urlconf"):
            request.urlconf = "tests.around_django.handler_elsewhere"
        if request.GET.get("path"):
            request.path_info = request.GET["path"]


class OwnSessions(SessionMiddleware):
    """A subclass that queries the database where Django's class does not."""

    def process_request(self, request: Any) -> None:
        super().process_request(request)
        note(request, f"{User.objects.count()} users")


class OwnCsrf(CsrfViewMiddleware):
    def process_view(
        self, request: Any, callback: Any, callback_args: Any, callback_kwargs: Any
    ) -> Any:
        note(request, f"{User.objects.count()} users")
        return super().process_view(request, callback, callback_args, callback_kwargs)


class OwnMessages(MessageMiddleware):
    def process_response(self, request: Any, response: Any) -> Any:
        note(request, f"{User.objects.count()} users")
        return super().process_response(request, response)


class OwnStorage(SessionStorage):
    """Queries the database as soon as it is created."""

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        note(request, f"{User.objects.count()} users")


def csrf_failure(request: Any, reason: str = "") -> HttpResponse:
    return HttpResponse(f"{reason} {User.objects.count()}", status=403)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(f"not here: {request.path}", status=404)


def handler500(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Template("broken {{ word }}").render(Context({"word": "here"})), status=500)
