"""A program that runs uvicorn itself. The argument is the port.

At SIGUSR1, the program begins the drain and sets ``should_exit``. ``THREAD=1`` runs the server in
a thread.
"""

import asyncio
import os
import signal
import sys
import threading

import uvicorn

from asgi_middleware import Drain, LifespanMiddleware

from . import drain

its_drain = Drain(grace=float(os.environ["GRACE"]))
application = LifespanMiddleware(drain.app, lifespan=[drain.resource], drain=its_drain)
server = uvicorn.Server(uvicorn.Config(application, port=int(sys.argv[1])))


def end(*_: object) -> None:
    its_drain.begin()
    server.should_exit = True


signal.signal(signal.SIGUSR1, end)
if os.environ["THREAD"]:
    thread = threading.Thread(target=server.run)
    thread.start()
    while thread.is_alive():
        thread.join(0.05)
else:
    asyncio.run(server.serve())
