"""A process ends, whatever its threads are still doing, and a pool ends with it."""

from pathlib import Path

import pytest

from .apps.exits import LAST_WORDS
from .server import python

pytestmark = pytest.mark.process

# --- a view that has used the database ---


@pytest.mark.parametrize("arm", ["plain", "pooled"])
@pytest.mark.parametrize("how", ["loop", "server"])
def test_the_interpreter_exits_although_a_view_waits(how: str, arm: str, tmp_path: Path) -> None:
    database = str(tmp_path / "db.sqlite3")

    ended = python("-m", "tests.servers.apps.exits", how, arm, SQLITE_PATH=database)

    assert (ended.returncode, ended.stdout) == (0, f"{LAST_WORDS}\n"), ended.stderr


# --- threads of our own ---

LEAVING = """
import asyncio, threading
from asgiref.sync import sync_to_async
from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware._threads import own_thread
from asgi_middleware.testing import request

waits = threading.Event()

async def app(scope, receive, send):
    await sync_to_async(list)()
    waits.set()
    await asyncio.sleep(3600)

async def task():
    async with own_thread("own"):
        await sync_to_async(list)()
        waits.set()
        await asyncio.sleep(3600)

request_app = ThreadPoolMiddleware(app)
"""

# Each leaves a thread behind that a request, a task or a WebSocket still uses.
ENDS = {
    "a loop in a daemon thread, a request": """
threading.Thread(target=asyncio.run, args=(request(request_app),), daemon=True).start()
waits.wait(30)
""",
    "a loop in a daemon thread, a task": """
threading.Thread(target=asyncio.run, args=(task(),), daemon=True).start()
waits.wait(30)
""",
    "a loop that is abandoned, a request": """
loop = asyncio.new_event_loop()
pending = loop.create_task(request(request_app, timeout=3600))
while not waits.is_set():
    loop.run_until_complete(asyncio.sleep(0.01))
pending._log_destroy_pending = False
""",
    "a loop that is closed, a request that waits for the place of another": """
pool = ThreadPool(1, max_overflow=0)
waiting = ThreadPoolMiddleware(app, pool=pool)
loop = asyncio.new_event_loop()
tasks = [loop.create_task(request(waiting, timeout=3600)) for _ in range(3)]
while not waits.is_set() or pool.statistics().waiting < 2:
    loop.run_until_complete(asyncio.sleep(0.01))
loop.close()
del tasks
""",
    "a loop that is closed, a socket": """
async def scope_of_socket():
    asyncio.create_task(request_app({"type": "websocket"}, None, None))
    while not waits.is_set():
        await asyncio.sleep(0.01)
asyncio.run(scope_of_socket())
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_the_interpreter_exits_although_a_thread_is_in_use(end: str) -> None:
    ended = python("-W", "ignore", "-c", f"{LEAVING}{end}print('the end')")

    assert (ended.returncode, ended.stdout) == (0, "the end\n")


STUCK = """
import asyncio, threading
from asgiref.sync import sync_to_async
from asgi_middleware import _threads

_threads.EXIT_PATIENCE = 0.1
begun = threading.Event()

def stuck():
    begun.set()
    threading.Event().wait()

worker = _threads.Worker("worker")
worker.put(stuck)
begun.wait(30)
print("the end")
"""


def test_the_interpreter_exits_although_a_call_is_stuck() -> None:
    ended = python("-c", STUCK)

    assert (ended.returncode, ended.stdout) == (0, "the end\n")
    assert "a call is still running in a thread at exit" in ended.stderr


def test_a_call_that_runs_at_exit_is_completed() -> None:
    code = """
import time
from asgi_middleware._threads import Worker
worker = Worker("worker")
worker.put(lambda: (time.sleep(0.2), print("made")))
"""
    ended = python("-c", code)

    assert (ended.returncode, ended.stdout) == (0, "made\n")


# --- a pool ---

FORKING = """
import asyncio, os, threading
from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import request
from tests.thread_pool.calls import current_thread, visiting

pool = ThreadPool(size=1, max_overflow=0)
app = ThreadPoolMiddleware(visiting(current_thread), pool=pool)

def serve():
    print(asyncio.run(request(app)).status, *pool.statistics(), flush=True)

serve()
pool.lock.acquire()  # as another thread may hold it at that moment
child = os.fork()
if child:
    pool.lock.release()
    _, status = os.waitpid(child, 0)
    print("child", status, flush=True)
serve()
"""


def test_a_pool_in_a_forked_process_starts_its_own_threads() -> None:
    assert _output(FORKING) == ["200 0 1 0 0", "200 0 1 0 0", "child 0", "200 0 1 0 0"]


NEVER_CLOSED = """
import asyncio, atexit
from asgi_middleware import ThreadPoolMiddleware
from asgi_middleware.testing import request
from tests.thread_pool.calls import current_thread, visiting

threads = []

async def visit():
    threads.append(await current_thread())

asyncio.run(request(ThreadPoolMiddleware(visiting(visit))))
print(threads[0].is_alive())
"""


def test_a_pool_that_is_never_closed_ends_with_its_process() -> None:
    # atexit calls functions in reverse order, so this one comes after the pool's own.
    before = "import atexit\natexit.register(lambda: print(threads[0].is_alive()))\n"

    assert _output(before + NEVER_CLOSED) == ["True", "False"]


def _output(code: str) -> list[str]:
    ended = python("-W", "ignore::DeprecationWarning", "-c", code)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()
