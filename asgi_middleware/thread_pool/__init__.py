"""Lend warm threads to Django's sync code, instead of starting a new one for every request.

    pool = ThreadPool(size=8)

    application = compose(
        partial(LifespanMiddleware, lifespan=[pool]),
        partial(ThreadPoolMiddleware, pool=pool),
    )(get_asgi_application())

Under ASGI, Django starts a thread for each request and then throws it away. With a pool, Django
serves more requests per second, ``CONN_MAX_AGE`` keeps connections to every database, and Channels'
consumers query in parallel. Your views stay as they are: each request, stream, WebSocket and task
still finds its own thread-locals. As under WSGI, a request can also find what an earlier request
left in a ``threading.local``.

Put it innermost, next to Django, because only Django needs its threads. The layers further out then
log the requests that are refused here, and add their headers.

Read ``pool`` first: it begins with the guarantees. ``lease`` is one request's claim to a thread,
``shared`` holds the threads of WebSockets, and ``middleware`` connects them with ASGI.
"""

from .middleware import ThreadPoolMiddleware
from .pool import ThreadPool, ThreadPoolStatistics

__all__ = ["ThreadPool", "ThreadPoolMiddleware", "ThreadPoolStatistics"]
