"""The address of this server, as a stand-in for another service that works offline."""

import httpx
from django.http import Http404, HttpRequest


def own_url(request: HttpRequest, path: str) -> httpx.URL:
    """Return the URL of *path* on this server. No client can change it with a Host header.

    Raises Http404 if the server listens on a Unix socket, which no URL can name.
    """
    host, port = request.scope["server"]  # type: ignore[attr-defined]
    if port is None:
        raise Http404("The server listens on a Unix socket, which no URL can name.")
    # granian passes the port as a string, against the ASGI specification.
    return httpx.URL(scheme="http", host=host, port=int(port), path=path)
