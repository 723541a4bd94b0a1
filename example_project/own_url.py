"""The address of this very server, for calls to another service that work offline."""

import httpx
from django.http import Http404, HttpRequest


def own_url(request: HttpRequest, path: str) -> httpx.URL:
    """Return where *path* is served here. No client can choose that with a Host.

    Raises Http404 where the server listens at a Unix socket, which no URL can name.
    """
    host, port = request.scope["server"]  # type: ignore[attr-defined]
    if port is None:
        raise Http404("The server listens at a Unix socket, which no URL can name.")
    # granian's port is a string, against the ASGI specification.
    return httpx.URL(scheme="http", host=host, port=int(port), path=path)
