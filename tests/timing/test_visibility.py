"""If nobody sees the lines of the access log, one warning says so and shows the way out."""

import ast
import logging
import logging.config
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_middleware import AccessLog, TimingMiddleware
from asgi_middleware.testing import request
from tests.apps import hello
from tests.servers.server import ROOT

NAME = "asgi_middleware.access"
WARNER = "asgi_middleware.timing.access_log"


class Seen(logging.Handler):
    """A handler that keeps the lines that it gets."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(autouse=True)
def _configuration() -> Iterator[None]:
    """Restore the logging configuration after each test."""
    loggers = [logging.getLogger(name) for name in ("", "asgi_middleware", NAME)]
    before = [(each.level, each.handlers[:], each.propagate, each.disabled) for each in loggers]
    yield
    for each, (level, handlers, propagate, disabled) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.handlers[:] = handlers
        each.propagate, each.disabled = propagate, disabled


def begin() -> None:
    """Remove what pytest has configured. pytest configures it again before the next test."""
    logging.getLogger().handlers.clear()
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    handler = Seen()
    logger = logging.getLogger(WARNER)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)


async def requested(times: int = 1, **options: Any) -> None:
    app = TimingMiddleware(hello, observers=[AccessLog(**options)])
    for _ in range(times):
        await request(app)


Configure = Callable[[Seen], object]


def root(*handlers: logging.Handler, level: int = logging.INFO) -> Configure:
    """Return a function that gives the root logger these handlers, or else the one of the test."""

    def configure(seen: Seen) -> None:
        logging.getLogger().setLevel(level)
        logging.getLogger().handlers[:] = handlers or [seen]

    return configure


def access(
    *handlers: logging.Handler, level: int = logging.INFO, propagate: bool = True
) -> Configure:
    """Return a function that configures the access log's logger, and the root logger at INFO."""

    def configure(seen: Seen) -> None:
        root()(seen)
        logger = logging.getLogger(NAME)
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate

    return configure


def switched_off(seen: Seen) -> None:
    access()(seen)
    logging.getLogger(NAME).disabled = True


def at_its_own_level(seen: Seen) -> None:
    access()(seen)
    logging.getLogger().setLevel(logging.WARNING)


@pytest.mark.parametrize(
    "configure",
    [
        pytest.param(lambda seen: None, id="no configuration"),
        pytest.param(lambda seen: logging.basicConfig(), id="basicConfig"),
        pytest.param(root(level=logging.WARNING), id="root at WARNING"),
        pytest.param(root(Seen(logging.WARNING)), id="handler at WARNING"),
        pytest.param(root(logging.NullHandler()), id="NullHandler"),
        pytest.param(access(level=logging.WARNING), id="its own level"),
        pytest.param(access(propagate=False), id="no propagation"),
        pytest.param(access(Seen(logging.ERROR), propagate=False), id="its own handler at ERROR"),
        pytest.param(access(logging.NullHandler(), propagate=False), id="its own NullHandler"),
        pytest.param(switched_off, id="disable_existing_loggers"),
    ],
)
async def test_one_warning_says_that_nobody_sees_the_lines(
    configure: Configure, warnings: list[str]
) -> None:
    begin()
    seen = Seen()
    configure(seen)

    await requested(times=3)

    [warning] = warnings
    first, *lines = warning.splitlines()
    assert first == (
        "the access log is not visible: the lines of 'asgi_middleware.access' reach no handler at"
        " INFO; add this to LOGGING:"
    )
    assert len(lines) == 4
    assert [line for line in seen.lines if line not in warnings] == []


@pytest.mark.parametrize(
    "configure",
    [
        pytest.param(root(), id="root"),
        pytest.param(root(level=logging.DEBUG), id="root at DEBUG"),
        pytest.param(access(), id="its own level, root's handler"),
        pytest.param(at_its_own_level, id="its own level, lower than root's"),
        pytest.param(access(Seen(logging.ERROR)), id="one of two handlers"),
        pytest.param(access(logging.NullHandler()), id="a NullHandler and root's handler"),
        pytest.param(
            lambda seen: logging.basicConfig(level=logging.INFO, handlers=[seen]), id="basicConfig"
        ),
    ],
)
async def test_there_is_no_warning_if_somebody_sees_the_lines(
    configure: Configure, warnings: list[str]
) -> None:
    begin()
    seen = Seen(logging.INFO)
    configure(seen)

    await requested(times=3)

    assert (warnings, len(seen.lines)) == ([], 3)


async def test_there_is_no_warning_if_the_logger_has_its_own_handler(warnings: list[str]) -> None:
    begin()
    own = Seen()
    access(own, propagate=False)(Seen())

    await requested()

    assert (warnings, len(own.lines)) == ([], 1)


async def test_caplog_sees_the_lines_at_info(
    caplog: pytest.LogCaptureFixture, warnings: list[str]
) -> None:
    with caplog.at_level(logging.INFO):
        await requested()

    assert warnings == []
    assert [record.name for record in caplog.records] == [NAME]


@pytest.mark.parametrize("name", [NAME, "mine"])
async def test_the_configuration_in_the_warning_makes_the_log_visible(
    name: str, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin()
    shown: list[str] = []
    monkeypatch.setattr(
        logging.StreamHandler, "emit", lambda self, record: shown.append(record.name)
    )
    await requested(logger=name)
    lines = warnings[0].splitlines()[1:]
    page = (ROOT / "docs" / "timing.md").read_text(encoding="utf-8")
    assert [line for line in lines if line.replace(name, NAME) not in page] == []

    logging.config.dictConfig(ast.literal_eval("{" + "".join(lines) + "}"))
    await requested(logger=name)

    assert (shown, len(warnings)) == ([name], 1)


async def test_a_request_with_a_skipped_path_does_not_delay_the_warning(
    warnings: list[str],
) -> None:
    begin()
    await requested(skip_paths=["/*"])

    assert len(warnings) == 1


def test_there_is_no_warning_before_the_first_request(warnings: list[str]) -> None:
    begin()
    AccessLog()

    assert warnings == []
