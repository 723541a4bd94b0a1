"""An app that starts on a bare server starts with our layer around it, whatever its shape."""

import logging

import pytest

from asgi_middleware import LifespanMiddleware, Readiness

from .server import COMPLETE, STOPPED, Server, context
from .shapes import FAILED, HANGS, SERVERS, SHAPES, STARTED, outcome


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")  # granian's
@pytest.mark.parametrize("shape", SHAPES)
async def test_an_app_starts_wrapped_where_it_starts_bare(shape: str, server: str) -> None:
    pytest.importorskip(server)
    app, expected = SHAPES[shape]
    readiness = Readiness()
    log: list[str] = []
    wrapped = LifespanMiddleware(app, lifespan=[context("a", log)], readiness=readiness)

    bare = await outcome(server, app, within=0.5 if expected is HANGS else 10)
    around = await outcome(server, wrapped)

    assert bare == expected
    # Daphne starts apps that hang on other servers, and so does our layer.
    assert around == (STARTED if expected is HANGS else expected)
    assert log == ["+a", "-a"]
    assert readiness.reason == ("startup failed" if expected is FAILED else "shutting down")


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if SHAPES[shape][1] is not FAILED])
async def test_an_app_without_lifespan_causes_one_debug_line_that_says_how_to_fail(
    shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asgi_middleware")
    server = Server(LifespanMiddleware(SHAPES[shape][0]))

    assert await server.start() == COMPLETE
    assert await server.stop() == STOPPED

    has_one = {"Starlette", "reads ahead"}
    completes = shape in has_one or shape.startswith("completes")
    ours = [record for record in caplog.records if record.name.startswith("asgi_middleware")]
    assert [record.levelname for record in ours] == ([] if completes else ["DEBUG"])
    assert all(
        "to fail at startup on purpose, send lifespan.startup.failed" in record.getMessage()
        for record in ours
    )
