"""The examples in the docstring of ``asgi_middleware/testing/lifespan.py``, as written there."""

import inspect
import re
import textwrap
from importlib import import_module
from typing import Any

import httpx
import pytest
from django.test import AsyncClient

from asgi_middleware.testing import lifespan
from asgi_middleware.types import ASGIApp

# The module, because the package has a function of the same name.
DOCSTRING = inspect.getdoc(import_module("asgi_middleware.testing.lifespan"))
assert DOCSTRING
EXAMPLES = re.findall(r"(?:^    .*\n|^\n(?=    ))+", DOCSTRING, re.MULTILINE)


async def response_of(example: str, application: ASGIApp) -> Any:
    """Run an example, and return the response that it ends with."""
    body = textwrap.indent(textwrap.dedent(example) + "\nreturn response", "    ")
    names: dict[str, Any] = {
        "AsyncClient": AsyncClient,
        "application": application,
        "httpx": httpx,
        "lifespan": lifespan,
    }
    exec(f"async def run():\n{body}", names)
    return await names["run"]()


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("example", EXAMPLES, ids=["httpx", "AsyncClient of Django"])
async def test_a_view_has_what_startup_opened(example: str, application: ASGIApp) -> None:
    response = await response_of(example, application)

    assert response.json()["seconds"] >= 0


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("example", "passed"),
    [
        pytest.param(EXAMPLES[0], True, id="httpx"),
        pytest.param(EXAMPLES[1], False, id="AsyncClient of Django"),
    ],
)
async def test_only_httpx_goes_through_the_layers(
    example: str, passed: bool, application: ASGIApp
) -> None:
    response = await response_of(example, application)

    assert ("x-request-id" in response.headers) == passed


@pytest.mark.usefixtures("database")
async def test_djangos_client_by_itself_has_no_state() -> None:
    response = await AsyncClient().get("/status/")

    assert response.json()["seconds"] is None
