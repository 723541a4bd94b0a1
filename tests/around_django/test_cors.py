"""All kinds of responses that Django sends: each has one allow-origin and the right Vary."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib.util import find_spec

import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from asgi_middleware import CORSMiddleware
from asgi_middleware.django import cors_options
from asgi_middleware.testing import recording, request
from asgi_middleware.testing.recording import RecordedApp

ORIGIN = "https://app.example"

COMMON = "django.middleware.common.CommonMiddleware"
GZIP = "django.middleware.gzip.GZipMiddleware"
CONDITIONAL_GET = "django.middleware.http.ConditionalGetMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"
CORS_HEADERS = "corsheaders.middleware.CorsMiddleware"

LONG = "long enough for GZipMiddleware, which leaves short responses alone. " * 10


def sync_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(LONG)


async def async_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(LONG)


def own_headers(request: HttpRequest) -> HttpResponse:
    """Set what projects set by hand, and wrongly: `*` together with credentials."""
    response = HttpResponse("hello")
    response["Access-Control-Allow-Origin"] = "*"
    response["Access-Control-Allow-Credentials"] = "true"
    response["Access-Control-Expose-Headers"] = "X-Own"
    response["Vary"] = "Accept, origin"
    return response


def varies_on_everything(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", headers={"Vary": "*"})


def raising(request: HttpRequest) -> HttpResponse:
    # Reading the body closes its file, which Django leaves open when an exception passes through.
    raise KeyError(request.body)


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(part for part in [b"one ", b"two"])


def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("own-headers/", own_headers),
    path("varies-on-everything/", varies_on_everything),
    path("raising/", raising),
    path("stream/sync/", sync_stream),
    path("stream/async/", async_stream),
]

Django = Callable[..., RecordedApp]


@pytest.fixture
def django() -> Iterator[Django]:
    """A function that returns a Django with the views above and a given MIDDLEWARE."""
    overridden = override_settings(
        ALLOWED_HOSTS=["testserver"],
        CORS_ALLOWED_ORIGINS=[ORIGIN],
        CORS_ALLOW_CREDENTIALS=True,
        DEBUG=False,
        ROOT_URLCONF=__name__,
    )

    def django(*middleware: str) -> RecordedApp:
        with override_settings(MIDDLEWARE=middleware):
            return recording(get_asgi_application())

    with overridden:
        yield django


def with_cors(app: RecordedApp) -> CORSMiddleware:
    return CORSMiddleware(
        app,
        allow_origins=[ORIGIN],
        allow_methods=["GET", "PUT"],
        allow_credentials=True,
        expose_headers=["x-request-id"],
    )


needs_django_cors_headers = pytest.mark.skipif(
    find_spec("corsheaders") is None,
    reason="django-cors-headers is not installed; it is in the dev extra",
)
# Django warns that it reads the whole stream first.
synchronous = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")

every_response = pytest.mark.parametrize(
    ("middleware", "target", "headers", "status", "vary"),
    [
        pytest.param([], "/sync/", {}, 200, "Origin", id="sync view"),
        pytest.param([], "/async/", {}, 200, "Origin", id="async view"),
        pytest.param([], "/own-headers/", {}, 200, "Accept, origin", id="view's own headers"),
        pytest.param([], "/varies-on-everything/", {}, 200, "*", id="view's Vary: *"),
        pytest.param([], "/missing/", {}, 404, "Origin", id="404"),
        pytest.param([], "/raising/", {}, 500, "Origin", id="500"),
        pytest.param([], "/stream/sync/", {}, 200, "Origin", id="sync stream", marks=synchronous),
        pytest.param([], "/stream/async/", {}, 200, "Origin", id="async stream"),
        pytest.param([COMMON], "/sync", {}, 301, "Origin", id="slash is appended"),
        pytest.param([COMMON], "/sync/", {"host": "evil.example"}, 400, "Origin", id="bad Host"),
        pytest.param(
            [LOCALE, COMMON], "/sync/", {}, 200, "Accept-Language, Origin", id="LocaleMiddleware"
        ),
        pytest.param(
            [GZIP, COMMON],
            "/sync/",
            {"accept-encoding": "gzip"},
            200,
            "Accept-Encoding, Origin",
            id="gzip",
        ),
        pytest.param(
            [GZIP, COMMON],
            "/stream/async/",
            {"accept-encoding": "gzip"},
            200,
            "Accept-Encoding, Origin",
            id="gzip of a stream",
        ),
        pytest.param(
            [CONDITIONAL_GET, GZIP],
            "/sync/",
            {"if-none-match": "*"},
            304,
            "Accept-Encoding, Origin",
            id="304",
        ),
        *(
            pytest.param(
                [CORS_HEADERS, COMMON],
                *row,
                id=f"django-cors-headers, {name}",
                marks=needs_django_cors_headers,
            )
            for name, row in {
                "view": ("/sync/", {}, 200, "origin"),
                "view's own headers": ("/own-headers/", {}, 200, "Accept, origin"),
                "404": ("/missing/", {}, 404, "origin"),
                "500": ("/raising/", {}, 500, "origin"),
                "bad Host": ("/sync/", {"host": "evil.example"}, 400, "origin"),
                "stream": ("/stream/async/", {}, 200, "origin"),
            }.items()
        ),
    ],
)


@every_response
async def test_a_response_names_an_allowed_origin_once(
    middleware: list[str],
    target: str,
    headers: Mapping[str, str],
    status: int,
    vary: str,
    django: Django,
) -> None:
    app = with_cors(django(*middleware))

    response = await request(app, target=target, headers={"origin": ORIGIN, **headers})

    assert response.status == status
    assert response.getall(b"access-control-allow-origin") == [ORIGIN.encode()]
    assert response.getall(b"access-control-allow-credentials") == [b"true"]
    assert response.getall(b"vary") == [vary.encode()]


@every_response
@pytest.mark.parametrize(
    "origin",
    [
        pytest.param({}, id="no origin"),
        pytest.param({"origin": "https://evil.example"}, id="other origin"),
    ],
)
async def test_a_response_to_any_other_request_varies_in_the_same_way(
    middleware: list[str],
    target: str,
    headers: Mapping[str, str],
    status: int,
    vary: str,
    origin: Mapping[str, str],
    django: Django,
) -> None:
    app = with_cors(django(*middleware))

    response = await request(app, target=target, headers={**origin, **headers})

    assert response.status == status
    assert response.getall(b"vary") == [vary.encode()]
    # The middleware leaves the view's own headers alone.
    own = [b"*"] if target == "/own-headers/" else []
    assert response.getall(b"access-control-allow-origin") == own


async def test_a_view_still_exposes_its_own_headers(django: Django) -> None:
    app = with_cors(django())

    response = await request(app, target="/own-headers/", headers={"origin": ORIGIN})

    assert response.getall(b"access-control-expose-headers") == [b"X-Own", b"x-request-id"]


async def test_an_exception_that_django_lets_through_becomes_a_500(django: Django) -> None:
    app = with_cors(django())

    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True):
        response = await request(
            app, target="/raising/", headers={"origin": ORIGIN}, raise_app_exceptions=False
        )

    assert response.status == 500
    assert response.getall(b"access-control-allow-origin") == [ORIGIN.encode()]
    assert isinstance(response.exception, KeyError)


@pytest.mark.parametrize(
    "middleware",
    [
        pytest.param([], id="Django alone"),
        pytest.param([CORS_HEADERS], id="django-cors-headers", marks=needs_django_cors_headers),
    ],
)
async def test_a_preflight_gets_its_response_without_a_call_of_django(
    middleware: list[str], django: Django
) -> None:
    app = django(*middleware)
    headers = {"origin": ORIGIN, "access-control-request-method": "PUT"}

    response = await request(with_cors(app), "OPTIONS", "/sync/", headers=headers)

    assert response.status == 204
    assert response.getall(b"access-control-allow-origin") == [ORIGIN.encode()]
    assert app.calls == []


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/shop/api/x", id="the proxy keeps it"),
        pytest.param("/api/x", id="the proxy strips it"),
    ],
)
async def test_cors_urls_regex_applies_below_the_forced_script_name(
    path: str, django: Django
) -> None:
    with override_settings(FORCE_SCRIPT_NAME="/shop", CORS_URLS_REGEX="^/api/.*$"):
        app = CORSMiddleware(django(), **cors_options(settings))
        response = await request(app, target=path, headers={"origin": ORIGIN})

    assert response.getall(b"access-control-allow-origin") == [ORIGIN.encode()]


async def test_a_closed_prefix_stays_closed_below_the_forced_script_name(django: Django) -> None:
    app = CORSMiddleware(django(), allow_origins=[ORIGIN], policies={"/admin/": None})

    with override_settings(FORCE_SCRIPT_NAME="/shop"):
        response = await request(app, target="/shop/admin/", headers={"origin": ORIGIN})

    assert response.getall(b"access-control-allow-origin") == []
