"""Clients of ``asgi_middleware.testing`` around Django, as their users write it."""

from django.core.asgi import get_asgi_application
from django.test import override_settings

from asgi_middleware import stack
from asgi_middleware.testing import lifespan, request


async def test_djangos_own_header_names_are_accepted() -> None:
    with override_settings(ROOT_URLCONF="tests.around_django.urls", ALLOWED_HOSTS=["testserver"]):
        async with lifespan(stack(get_asgi_application()), strict=False) as running:
            response = await request(running, target="/varied/", strict=False)

    assert response.status == 200
    assert (b"Content-Type", b"text/html; charset=utf-8") in response.headers
