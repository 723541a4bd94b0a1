"""Lend Django's sync code warm threads, where it would start new ones for every request.

    pool = ThreadPool(size=8)

    application = compose(
        partial(LifespanMiddleware, lifespan=[pool]),
        partial(ThreadPoolMiddleware, pool=pool),
    )(get_asgi_application())

Under ASGI Django gives each request a thread of its own, and throws it away. With a pool
it serves more requests per second, the threads are bounded, ``CONN_MAX_AGE`` keeps
connections on every database, and Channels' consumers query in parallel. Views stay as
they are. As under WSGI, what a request leaves in a ``threading.local`` the next one finds.

Belongs innermost, next to Django, whose threads it lends: what answers further out needs
none, and what is refused here is logged and gets its headers there.

Read ``pool`` first, then ``worker``, which is a thread, ``lease``, which is one request's claim
to one, ``housekeeping``, and ``middleware``. How sync and async code meet:
https://docs.djangoproject.com/en/stable/topics/async/#async-adapter-functions
"""

from .middleware import ThreadPoolMiddleware
from .pool import ThreadPool, ThreadPoolStatistics

__all__ = ["ThreadPool", "ThreadPoolMiddleware", "ThreadPoolStatistics"]
