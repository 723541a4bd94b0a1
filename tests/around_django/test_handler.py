"""Our handler beside Django's: what clients, projects and logs see is the same."""

import asyncio
import gc
import logging
import random
import re
import secrets
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from http.cookies import SimpleCookie
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application as get_djangos
from django.core.cache import caches
from django.core.management import call_command
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import connections
from django.middleware.gzip import GZipMiddleware
from django.test import override_settings

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.django import get_asgi_application as get_ours
from asgi_middleware.testing import recording, request
from asgi_middleware.types import ASGIApp, Message

from . import handler_pages
from .handler_pages import set_by_a_view, set_by_the_caller

pytestmark = [
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
    pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning"),
]

PAGES = handler_pages.__name__
STOCK = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
NOW = 1_800_000_000.0


# --- what is asked, and what is seen ---


@dataclass(frozen=True)
class Ask:
    """One request of a visitor who keeps cookies. With *token*, it sends the last form's token."""

    target: str
    method: str = "GET"
    data: Mapping[str, str] | None = None
    token: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])
    leaves_at: int | None = None


def post(target: str, **options: Any) -> Ask:
    return Ask(target, "POST", **options)


Visits = dict[str, list[Ask]]


@dataclass
class Seen:
    """What one request has shown."""

    messages: list[Any]
    exception: str
    signals: list[str]
    logs: list[str]
    noted: list[str]
    context: str

    @property
    def status(self) -> int | None:
        return self.messages[0]["status"] if self.messages else None


class Visitor:
    def __init__(self, app: ASGIApp, *, listens: bool) -> None:
        self._listens = listens
        self.cookies: dict[str, str] = {}
        self.seen: list[Seen] = []
        self._app = app
        self._token = ""

    async def ask(self, ask: Ask) -> None:
        headers = {"accept": "text/html", **ask.headers}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={text}" for name, text in self.cookies.items())
        body = ask.body
        if ask.data is not None or ask.token:
            form = dict(ask.data or {})
            if ask.token:
                form["csrfmiddlewaretoken"] = self._token
            body = urlencode(form).encode()
            headers["content-type"] = "application/x-www-form-urlencoded"
        state: dict[str, Any] = {"noted": [], "closed": []}
        with observed(listens=self._listens) as (signals, logs):
            context = Context()
            context.run(set_by_the_caller.set, "caller")
            response = await asyncio.create_task(
                request(
                    self._app,
                    ask.method,
                    ask.target,
                    headers=headers,
                    body=body,
                    scope={"state": state, **ask.scope},
                    disconnect_at=ask.leaves_at,
                    raise_app_exceptions=False,
                ),
                context=context,
            )
        for cookie in response.getall(b"set-cookie"):
            for name, morsel in SimpleCookie(cookie.decode()).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0" or morsel.value == "":
                    del self.cookies[name]
        for token in re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', _text(response.body)):
            self._token = token
        self.seen.append(
            Seen(
                [_plain(message) for message in response.messages],
                repr(response.exception) if response.exception else "",
                signals,
                logs,
                [*state["noted"], *state["closed"]],
                context.run(set_by_a_view.get),
            )
        )


def _text(body: bytes) -> str:
    return body.decode(errors="replace")


def _plain(message: Message) -> Any:
    plain = dict(message)
    if "headers" in plain:
        plain["headers"] = [tuple(header) for header in plain["headers"]]
    return plain


class observed:  # noqa: N801 -- used like a function
    """Record signals and log records during the block."""

    def __init__(self, *, listens: bool) -> None:
        self._signals = SIGNALS if listens else {}

    def __enter__(self) -> tuple[list[str], list[str]]:
        self.signals: list[str] = []
        self.logs: list[str] = []
        for name, signal in self._signals.items():
            signal.connect(self._receiver(name), weak=False, dispatch_uid=f"observed {name}")
        self._handler = logging.Handler()
        self._handler.emit = self._keep  # type: ignore[method-assign]
        logging.getLogger().addHandler(self._handler)
        return self.signals, self.logs

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        for name, signal in self._signals.items():
            signal.disconnect(dispatch_uid=f"observed {name}")

    def _receiver(self, name: str) -> Any:
        def note(sender: Any, **named: Any) -> None:
            error = sys.exception() if name == "got_request_exception" else None
            sender = f"{getattr(sender, '__module__', '')}.{getattr(sender, '__qualname__', '')}"
            self.signals.append(f"{name} from {sender} {sorted(named)} {error!r}")

        return note

    def _keep(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.name.startswith(("django", "asgi_middleware")):
            status = getattr(record, "status_code", None)
            self.logs.append(
                f"{record.name} {record.levelname} {record.getMessage()} {status} {error!r}"
            )


SIGNALS = {
    "request_started": request_started,
    "request_finished": request_finished,
    "got_request_exception": got_request_exception,
}


# --- the arms ---


class Arm(NamedTuple):
    """A handler, whether it serves in a pool, and whether the signals have receivers.

    Without receivers, there are fewer calls to make in a thread.
    """

    make: Callable[[], Any]
    in_pool: bool = False
    listens: bool = True


DJANGO = Arm(get_djangos)
OURS = {
    "ours": Arm(get_ours),
    "ours, nobody listens": Arm(get_ours, listens=False),
    "ours, in a pool": Arm(get_ours, in_pool=True),
    "ours, in a pool, nobody listens": Arm(get_ours, in_pool=True, listens=False),
}


SOME_OF_OURS = {name: OURS[name] for name in ("ours", "ours, in a pool, nobody listens")}
APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.admin",
    *(["rest_framework"] if find_spec("rest_framework") else []),
]
PROJECT: dict[str, Any] = {
    "ALLOWED_HOSTS": ["testserver"],
    "DEBUG": False,
    "INSTALLED_APPS": APPS,
    "LANGUAGES": [("en", "English"), ("de", "German")],
    # Logging is configured already; configuring it again takes as long as a request.
    "LOGGING_CONFIG": None,
    "LOGIN_URL": "/sign-in/",
    "MIDDLEWARE": STOCK,
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "ROOT_URLCONF": PAGES,
    "SECRET_KEY": "for tests",
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An SQLite file with Django's tables and two users; each arm uses a copy of it."""
    folder = tmp_path_factory.mktemp("handler")
    with pytest.MonkeyPatch.context() as patch, override_settings(**PROJECT):
        patch.setitem(database(), "NAME", str(folder / "empty.sqlite3"))
        patch.setattr(time, "time", lambda: NOW)
        patch.setattr(GZipMiddleware, "max_random_bytes", 0)
        forget_connection()
        call_command("migrate", verbosity=0)
        User.objects.create_user("ann", password="secret")
        User.objects.create_superuser("root", password="secret")
        forget_connection()
        yield folder / "empty.sqlite3"


def database() -> dict[str, Any]:
    """Return the database settings, which apply to connections that are opened from now on."""
    return cast("dict[str, Any]", connections.settings["default"])


def forget_connection() -> None:
    connections["default"].close()
    del connections["default"]


@pytest.fixture
def project(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Project":
    monkeypatch.setitem(database(), "NAME", "")
    monkeypatch.setitem(database(), "ATOMIC_REQUESTS", False)
    return Project(empty_database, tmp_path, monkeypatch)


class Project:
    """A project that each handler serves in turn: with the same database and random choices."""

    def __init__(self, empty: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._empty = empty
        self._folder = folder
        self._monkeypatch = monkeypatch

    @asynccontextmanager
    async def served(self, arm: Arm) -> AsyncGenerator[ASGIApp]:
        database()["NAME"] = shutil.copy(self._empty, self._folder / "used.sqlite3")
        caches["default"].clear()
        for session in self._folder.glob("sessionid*"):
            session.unlink()
        # Each arm gets the same random choices if it makes them in the same order.
        lots = random.Random(0)
        known = SimpleNamespace(choice=lots.choice, compare_digest=secrets.compare_digest)
        self._monkeypatch.setattr("django.utils.crypto.secrets", known)
        app: ASGIApp = recording(arm.make())
        async with AsyncExitStack() as stack:
            if arm.in_pool:
                pool = await stack.enter_async_context(ThreadPool(size=2))
                app = ThreadPoolMiddleware(app, pool=pool)
            yield app

    async def seen(self, arm: Arm, visits: Visits) -> dict[str, list[Seen]]:
        async with self.served(arm) as app:
            seen: dict[str, list[Seen]] = {}
            for name, asks in visits.items():
                visitor = Visitor(app, listens=arm.listens)
                for ask in asks:
                    await visitor.ask(ask)
                    if visitor.seen[-1].exception:
                        # Before 6.1, Django leaves the file with the body open.
                        gc.collect()
                seen[name] = visitor.seen
        return seen

    async def compared(
        self, visits: Visits, arms: Mapping[str, Arm] = SOME_OF_OURS
    ) -> dict[str, list[Seen]]:
        """Check that our handler shows what Django's shows, and return that."""
        expected = await self.seen(DJANGO, visits)
        for arm_name, arm in arms.items():
            seen = await self.seen(arm, visits)
            for name, asked in expected.items():
                wanted = asked if arm.listens else [replace(each, signals=[]) for each in asked]
                assert seen[name] == wanted, f"{name}: {arm_name}"
        return expected


# --- the table ---


def visits(*rows: tuple[str, list[Ask]]) -> Visits:
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def row(*asks: Ask | str, id: str = "") -> tuple[str, list[Ask]]:  # noqa: A002
    given = [Ask(ask) if isinstance(ask, str) else ask for ask in asks]
    return id or " ".join(f"{ask.method} {ask.target}" for ask in given), given


def in_both(*asks: Ask | str, id: str = "") -> list[tuple[str, list[Ask]]]:  # noqa: A002
    """Return a row for the sync views, and one for the async views."""
    _, given = row(*asks)
    to_async = [replace(ask, target=f"/a{ask.target[1:]}") for ask in given]
    return [row(*given, id=id and f"sync {id}"), row(*to_async, id=id and f"async {id}")]


BOUNDARY = "multipart/form-data; boundary=limit"
UPLOAD = (
    b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ntext'
    b"\r\n--limit--\r\n"
)
HTTPS = {"scheme": "https"}

ROWS = visits(
    row("/"),
    row("/no-such-page/"),
    row("/no-such-page", id="404 with a slash to append, which helps nothing"),
    row("/shop/items/a-b/"),
    row("/awrapped/", id="a view wrapped in sync_to_async"),
    row("/callable/", id="an object with an async __call__"),
    row("/large/"),
    row("/own-close/"),
    row("/calls-sync/"),
    row("/calls-async/"),
    row(Ask("/gzip/", headers={"accept-encoding": "gzip"})),
    row("/condition/", Ask("/condition/", headers={"if-none-match": '"a"'})),
    row("/cached/", "/cached/", "/cached/?other=1", id="cache_page"),
    row("/add-many-messages/", "/messages/", id="more messages than a cookie holds"),
    row(Ask("/hello/", scope={"query_string": b"\xff"}), id="a query that cannot be decoded"),
    row(Ask("/hello/", headers={"host": "other.example"}), id="a host that is not allowed"),
    row(Ask("/hello/", headers={"cookie": "csrftoken=short"}), id="a malformed CSRF cookie"),
    row(
        Ask("/hello/", headers={"cookie": "sessionid=unknown12345; messages=broken"}),
        id="unknown cookies",
    ),
    *in_both("/hello/"),
    *in_both("/hello/7/"),
    *in_both("/hello", id="append slash"),
    *in_both(post("/hello", data={"a": "1"}), id="append slash to a POST"),
    *in_both(Ask("/hello/", "HEAD")),
    *in_both(Ask("/hello/", "OPTIONS")),
    *in_both(Ask("/hello/", "PUT"), id="PUT without a CSRF token"),
    *in_both(
        "/form/",
        post("/form/", data={"field": "text"}, token=True),
        post("/form/", data={"field": "text"}),
        id="a form with a token, and without",
    ),
    *in_both(post("/form/", data={"field": "text"}), id="a form without a cookie"),
    *in_both(
        "/form/",
        post("/form/", token=True, headers={"origin": "https://other.example"}),
        id="a form of another origin",
    ),
    *in_both(
        "/form/",
        post("/form/", token=True, scope=HTTPS),
        post("/form/", token=True, scope=HTTPS, headers={"referer": "https://testserver/form/"}),
        id="a form over HTTPS, with a referer, and without",
    ),
    *in_both(
        "/form/",
        post("/form/", data={"csrfmiddlewaretoken": "x"}),
        post("/form/", headers={"x-csrftoken": "y" * 32}),
        id="wrong tokens",
    ),
    *in_both("/protected/", post("/protected/"), id="csrf_protect"),
    *in_both(post("/exempt/", data={"a": "1"}), id="csrf_exempt"),
    *in_both("/csrf-cookie/", id="ensure_csrf_cookie"),
    *in_both("/never-cached/"),
    *in_both("/frame/"),
    *in_both("/post-only/", post("/post-only/")),
    *in_both("/private/", "/sign-in/", "/private/", id="login_required"),
    *in_both("/class/", Ask("/class/", "HEAD"), Ask("/class/", "DELETE"), id="a class"),
    *in_both(post("/class/"), id="a class, refused"),
    *in_both("/sign-in/", "/who/", "/count/", "/sign-out/", "/who/", id="sign in and out"),
    *in_both("/count/", "/count/", "/visits/", "/flush/", "/visits/", id="a session"),
    *in_both("/count/", "/expiring/", id="a session that ends with the browser"),
    *in_both("/count/", "/interrupted/", id="a session that somebody else deletes"),
    *in_both("/count/", "/failing-session/", "/visits/", id="no session is saved on a 500"),
    *in_both("/own-session/", id="something else in the place of the session"),
    *in_both("/add-message/", "/messages/", "/messages/", id="a message"),
    *in_both("/add-message/", "/hello/", "/messages/", id="a message that waits"),
    *(
        each
        for kind in ("value", "missing", "denied", "suspicious", "bad")
        for each in in_both(f"/failing/{kind}/")
    ),
    # A request to the sync view never ends under Django's handler before Python 3.12.
    row("/afailing/stop/"),
    *in_both("/nothing/", id="a view that returns nothing"),
    *in_both("/stream-sync/"),
    *in_both("/stream-async/"),
    *in_both("/stream-failing/"),
    *in_both("/file/"),
    *in_both("/template/"),
    *in_both("/failing-template/"),
    *in_both(post("/upload/", body=UPLOAD, headers={"content-type": BOUNDARY}), id="an upload"),
    *in_both(
        "/form/",
        post("/upload/", body=UPLOAD, headers={"content-type": BOUNDARY}),
        id="an upload with a cookie",
    ),
    *in_both("/body/?a=1&a=2"),
    *in_both("/cookies/", "/cookies/"),
    *in_both("/contexts/"),
    *in_both(Ask("/hello/", leaves_at=1), id="a client that leaves before its body is read"),
)


@pytest.mark.parametrize("name", ROWS)
async def test_a_request_has_the_response_the_signals_and_the_logs_of_djangos_handler(
    name: str, project: Project
) -> None:
    await project.compared({name: ROWS[name]}, OURS)


# --- other middleware ---

STACKS = {
    "no middleware": [],
    "sync-only middleware outside": [f"{PAGES}.SyncOnly", *STOCK],
    "sync-only middleware inside": [*STOCK, f"{PAGES}.SyncOnly"],
    "async-only middleware": [STOCK[0], f"{PAGES}.AsyncOnly", *STOCK[1:]],
    "every hook outside": [f"{PAGES}.EveryHook", *STOCK],
    "every hook inside": [*STOCK, f"{PAGES}.EveryHook"],
    "three in between": [
        *(STOCK[0], f"{PAGES}.function_based", STOCK[1], f"{PAGES}.SyncOnly", *STOCK[2:4]),
        *(f"{PAGES}.EveryHook", *STOCK[4:]),
    ],
    "a middleware that is not used": [*STOCK[:3], f"{PAGES}.NotUsed", *STOCK[3:]],
    "stock middleware twice": [*STOCK, *STOCK],
    "stock middleware in reverse": [*reversed(STOCK)],
    "subclasses": [
        *(f"{PAGES}.Own{name}" for name in ("Sessions", "Csrf", "Messages")),
        *(STOCK[2], *STOCK[4:5], STOCK[6]),
    ],
    "more of Django's": [
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        *STOCK,
        "django.contrib.auth.middleware.RemoteUserMiddleware",
        "django.middleware.common.BrokenLinkEmailsMiddleware",
    ],
    "a cache for the whole site": [
        "django.middleware.cache.UpdateCacheMiddleware",
        *STOCK,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ],
    "a login for every page": [*STOCK, "django.contrib.auth.middleware.LoginRequiredMiddleware"],
}
ROWS_OF_STACKS = visits(
    row("/no-such-page/"),
    *in_both("/hello/"),
    *in_both("/hello"),
    *in_both("/hello/?early=1"),
    *in_both("/hello/?raises=1"),
    *in_both("/hello/?instead=1"),
    *in_both("/failing/value/"),
    *in_both("/failing/value/?rescues=1"),
    *in_both("/failing/missing/"),
    *in_both("/template/"),
    *in_both("/failing-template/?rescues=1"),
    *in_both("/stream-async/"),
    *in_both("/contexts/"),
    *in_both("/sign-in/", "/who/", "/count/", "/sign-out/", id="sign in and out"),
    *in_both("/form/", post("/form/", token=True), post("/form/"), id="a form"),
    *in_both("/add-message/", "/messages/", id="a message"),
    *in_both("/flush/", id="no session to flush"),
    *in_both(Ask("/hello/", headers={"remote-user": "ann"}), id="a remote user"),
    *in_both(Ask("/hello/", headers={"if-match": '"b"'}), id="a precondition that fails"),
    *in_both(Ask("/hello/", headers={"accept-language": "de"}), id="another language"),
)


@pytest.mark.parametrize("middleware", STACKS.values(), ids=STACKS)
async def test_requests_through_other_middleware_do_what_they_do_under_djangos_handler(
    middleware: list[str], project: Project
) -> None:
    with override_settings(MIDDLEWARE=middleware):
        await project.compared(ROWS_OF_STACKS)


# --- other settings ---

SETTINGS: dict[str, dict[str, Any]] = {
    "CSRF_USE_SESSIONS": {"CSRF_USE_SESSIONS": True},
    "SESSION_SAVE_EVERY_REQUEST": {"SESSION_SAVE_EVERY_REQUEST": True},
    **{
        f"sessions in {engine}": {"SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}"}
        for engine in ("cache", "cached_db", "file", "signed_cookies")
    },
    "sessions of the project": {"SESSION_ENGINE": f"{__package__}.handler_sessions"},
    "messages in the session": {
        "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage"
    },
    "messages in a cookie": {
        "MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage"
    },
    "messages of the project": {"MESSAGE_STORAGE": f"{PAGES}.OwnStorage"},
    "HTTPS only": {"SECURE_SSL_REDIRECT": True, "SECURE_HSTS_SECONDS": 60},
    "PREPEND_WWW": {"PREPEND_WWW": True},
    "no APPEND_SLASH": {"APPEND_SLASH": False},
    "no I18N": {"USE_I18N": False},
    "a user agent that is not allowed": {"DISALLOWED_USER_AGENTS": [re.compile("^bot")]},
    "a failure view of the project": {"CSRF_FAILURE_VIEW": f"{PAGES}.csrf_failure"},
    "FORCE_SCRIPT_NAME": {"FORCE_SCRIPT_NAME": "/shop"},
}
ROWS_OF_SETTINGS = visits(
    *in_both("/hello/"),
    *in_both("/hello"),
    *in_both(Ask("/hello/", scope=HTTPS), id="HTTPS"),
    *in_both(Ask("/hello/", headers={"user-agent": "bot"}), id="a bot"),
    *in_both("/sign-in/", "/who/", "/count/", "/count/", "/flush/", "/visits/", id="a session"),
    *in_both("/count/", "/expiring/", "/failing-session/", "/visits/", id="sessions that end"),
    *in_both("/form/", post("/form/", token=True), post("/form/"), id="a form"),
    *in_both("/add-message/", "/messages/", "/messages/", id="a message"),
    *in_both("/own-session/"),
)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_with_other_settings_requests_do_what_they_do_under_djangos_handler(
    settings: dict[str, Any], project: Project, tmp_path: Path
) -> None:
    with override_settings(SESSION_FILE_PATH=str(tmp_path), **settings):
        await project.compared(ROWS_OF_SETTINGS)


LANGUAGE_ROWS = visits(
    row("/hello/"),
    *(
        row(Ask(path, headers={"accept-language": language}), id=f"{path} in {language}")
        for path in ("/words/", "/awords/", "/awords", "/de/words/", "/de/awords/", "/en/awords/")
        for language in ("de", "en")
    ),
    row("/fr/words/", id="a language that the project does not have"),
    row("/de/no-such-page/", id="a page that does not exist"),
)


async def test_paths_with_a_language_are_served_as_by_djangos_handler(project: Project) -> None:
    middleware = [*STOCK[:2], "django.middleware.locale.LocaleMiddleware", *STOCK[2:]]
    with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=f"{__package__}.handler_languages"):
        seen = await project.compared(LANGUAGE_ROWS)

    assert seen["/de/awords/ in en"][0].messages[1]["body"] == b"de Ja"


async def test_a_remote_user_is_signed_in_as_by_djangos_handler(
    project: Project,
) -> None:
    middleware = [*STOCK, "django.contrib.auth.middleware.RemoteUserMiddleware"]
    named = {"remote-user": "ann"}
    with override_settings(
        MIDDLEWARE=middleware,
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"],
    ):
        seen = await project.compared(
            visits(*in_both(Ask("/who/", headers=named), "/who/", id="a user who is named"))
        )

    for asked in seen.values():
        assert b"ann" in [each.messages[1]["body"] for each in asked]


async def test_with_atomic_requests_a_view_writes_what_it_writes_under_djangos_handler(
    project: Project,
) -> None:
    database()["ATOMIC_REQUESTS"] = True

    seen = await project.compared(
        visits(
            row("/write/?fails=1", "/groups/"),
            row("/awrite/", "/groups/", id="an async view, which Django refuses"),
            row("/write/", "/groups/"),
        )
    )

    assert [each[1].messages[1]["body"] for each in seen.values()] == [b"0", b"0", b"1"]


async def test_a_middleware_may_change_the_urlconf_and_the_path(project: Project) -> None:
    targets = (
        *("/hello/?urlconf=1", "/ahello/?urlconf=1", "/only/?urlconf=1", "/only/"),
        *("/ahello/?path=/hello/", "/hello/?path=/ahello/", "/hello/"),
    )
    with override_settings(MIDDLEWARE=[*STOCK, f"{PAGES}.Elsewhere"]):
        seen = await project.compared(
            visits(
                *(row(target) for target in targets), *(row(t, id=f"{t} again") for t in targets)
            )
        )

    statuses = {name: each[0].status for name, each in seen.items() if "only" not in name}
    assert set(statuses.values()) == {200}


# --- whole sites ---

SIGN_IN = [
    Ask("/admin/login/?next=/admin/"),
    post(
        "/admin/login/?next=/admin/",
        data={"username": "root", "password": "secret", "next": "/admin/"},
        token=True,
    ),
    Ask("/admin/"),
]
JSON = {"accept": "application/json", "content-type": "application/json"}
SITE = visits(
    row("/admin/", "/admin/login/", "/admin/nowhere/", id="admin: a stranger"),
    row(
        Ask("/admin/login/"),
        post("/admin/login/", data={"username": "root", "password": "wrong"}, token=True),
        post("/admin/login/", data={"username": "ann", "password": "secret"}, token=True),
        post("/admin/login/", data={"username": "root", "password": "secret"}),
        id="admin: refused",
    ),
    row(
        *SIGN_IN,
        Ask("/admin/auth/group/add/"),
        post("/admin/auth/group/add/", data={"name": "editors", "_save": "Save"}, token=True),
        Ask("/admin/auth/group/"),
        Ask("/admin/auth/group/1/change/"),
        post("/admin/auth/group/1/change/", data={"name": "", "_save": "Save"}, token=True),
        Ask("/admin/auth/group/1/delete/"),
        post("/admin/auth/group/1/delete/", data={"post": "yes"}, token=True),
        Ask("/admin/"),
        Ask("/admin/auth/user/?q=ann"),
        Ask("/admin/auth/user/1/change/"),
        Ask("/admin/jsi18n/"),
        Ask("/admin/auth/user/7/change/"),
        Ask("/admin/auth/group"),
        post("/admin/logout/", token=True),
        Ask("/admin/"),
        id="admin: groups",
    ),
    row("/api/", Ask("/api/groups/", headers=JSON), "/api/groups/7/", id="API: read"),
    row(
        post("/api/groups/", headers=JSON, body=b'{"name": "writers"}'),
        post("/api/groups/", headers=JSON, body=b'{"name": "writers"}'),
        post("/api/groups/", headers=JSON, body=b"{"),
        Ask("/api/groups/"),
        Ask("/api/groups/?format=json"),
        Ask("/api/groups/1/", "PATCH", headers=JSON, body=b'{"name": "authors"}'),
        Ask("/api/groups/1/", "OPTIONS", headers=JSON),
        Ask("/api/groups/1/", "DELETE", headers=JSON),
        id="API: written by a stranger",
    ),
    row(
        *SIGN_IN,
        post("/api/groups/", headers=JSON, body=b'{"name": "no token"}'),
        Ask("/api/groups/"),
        id="API: CSRF of a user with a session",
    ),
)


async def test_the_admin_and_an_api_are_byte_for_byte_those_of_djangos_handler(
    project: Project,
) -> None:
    if "rest_framework" not in APPS:
        pytest.skip("not installed: djangorestframework")
    with override_settings(
        ROOT_URLCONF=f"{__package__}.handler_site",
        REST_FRAMEWORK={"DEFAULT_THROTTLE_RATES": {"anon": None, "user": None}},
    ):
        seen = await project.compared(SITE)

    statuses = [each.status for each in seen["admin: groups"]]
    assert statuses == [
        200,
        302,
        200,
        200,
        302,
        200,
        200,
        200,
        200,
        302,
        *[200] * 4,
        302,
        *statuses[15:],
    ]
    assert [each.status for each in seen["API: CSRF of a user with a session"][3:]] == [403, 200]


# --- pages for developers ---


async def test_with_debug_pages_are_the_same_as_from_djangos_handler(project: Project) -> None:
    with override_settings(DEBUG=True):
        await project.compared(
            visits(
                row("/no-such-page/"),
                row("/afailing/missing/"),
                *in_both("/hello"),
                *in_both(post("/form/", data={"a": "1"}), id="a form without a cookie"),
                *in_both("/failing/denied/"),
                *in_both("/template/"),
            )
        )


@pytest.mark.parametrize("name", ["/failing/value/", "/afailing/value/", "/failing/bad/"])
async def test_with_debug_an_error_page_differs_only_in_djangos_frames(
    name: str, project: Project
) -> None:
    frames: list[list[str]] = []
    texts: list[str] = []
    with override_settings(DEBUG=True):
        for arm in (DJANGO, OURS["ours"]):
            [seen] = (await project.seen(arm, visits(row(name))))[f"GET {name}"]
            page = seen.messages[1]["body"].decode()
            frames.append(re.findall(r"""class="fname">([^<]*)</code>, line (\d+)""", page))
            texts.append(re.search(r"<title>.*?</title>", page, re.DOTALL).group())  # type: ignore[union-attr]

    ours = [[frame for frame in each if frame[0] == handler_pages.__file__] for each in frames]
    assert ours[0] == ours[1] != []
    assert texts[0] == texts[1]
    assert len(frames[1]) <= len(frames[0])
