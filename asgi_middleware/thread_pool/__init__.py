"""Lend Django's sync code warm threads, where it would start new ones for every request.

    pool = ThreadPool(size=8)

    application = compose(
        partial(LifespanMiddleware, lifespan=[pool]),
        partial(ThreadPoolMiddleware, pool=pool),
    )(get_asgi_application())

Under ASGI Django gives each request a thread of its own, and throws it away. With a pool
it serves more requests per second, ``CONN_MAX_AGE`` keeps connections on every database, and
Channels' consumers query in parallel. Views stay as they are, and each request, stream, WebSocket
and task finds on its thread what is its own. As under WSGI, a request can find what an earlier
request left in a ``threading.local``.

Put it innermost, next to Django, which uses its threads: responses from further out need none.
The layers further out also log a request that is refused here, and add their headers to it.

Read ``pool`` first: the guarantees are at its top. ``lease`` is one request's claim to a thread,
``shared`` holds the threads of WebSockets, and ``middleware`` connects them with ASGI.
"""

from .middleware import ThreadPoolMiddleware
from .pool import ThreadPool, ThreadPoolStatistics

__all__ = ["ThreadPool", "ThreadPoolMiddleware", "ThreadPoolStatistics"]
