"""The tables in docs/cors.md list every option, and every origin in them works."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from asgi_middleware import CORSMiddleware, CORSPolicy, WebSocketOriginMiddleware
from asgi_middleware._origins import is_sendable
from asgi_middleware.testing import request
from tests.apps import echo, hello

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cors.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """Return the text from a heading to the next one."""
    return PAGE.partition(f"# {heading}\n")[2].partition("\n#")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def documented_origins() -> list[str]:
    rows = re.findall(
        r"^\| [^|]+ \| (`.+) \|$", section("Clients that are not web pages"), re.MULTILINE
    )
    origins = [origin for row in rows for origin in re.findall(r"`([^`]+)`", row)]
    return [re.sub("<.*>", "1a-2b", origin) for origin in origins]


def test_the_page_lists_origins_of_clients_that_are_not_web_pages() -> None:
    assert len(documented_origins()) > 12


@pytest.mark.parametrize("origin", documented_origins())
async def test_a_documented_origin_can_be_allowed(origin: str) -> None:
    app = CORSMiddleware(hello, allow_origins=[origin])

    response = await request(app, headers={"origin": origin})

    assert is_sendable(origin)
    assert response.get(b"access-control-allow-origin") == origin.encode()
    if origin != "null":
        WebSocketOriginMiddleware(echo, [origin])


def test_the_documented_regex_for_firefox_works_with_credentials() -> None:
    [regex] = re.findall(r'allow_origin_regex=r"([^"]+)"', PAGE)
    policy = CORSPolicy(allow_origin_regex=regex, allow_credentials=True)

    assert "allow_origin_regex matches it" in policy.explain("moz-extension://3c6bf0a6-2a3b")
    assert "refused" in policy.explain("https://a.example")


@pytest.mark.parametrize(
    ("heading", "layer"),
    [("Options", CORSMiddleware), ("WebSockets", WebSocketOriginMiddleware)],
)
def test_the_page_lists_every_option_with_its_default(heading: str, layer: Any) -> None:
    parameters = list(inspect.signature(layer).parameters.values())[1:]
    text = section(heading)

    assert first_cells(text) == [parameter.name for parameter in parameters]
    for parameter in parameters:
        default = str(parameter.default).replace("'", '"')
        assert f"| `{parameter.name}` | `{default}` |" in text


async def test_the_page_shows_the_log_line_of_a_refused_preflight(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    headers = {"origin": "https://b.example", "access-control-request-method": "GET"}

    await request(
        CORSMiddleware(hello, allow_origins=["https://a.example"]),
        "OPTIONS",
        "/api/",
        headers=headers,
    )

    assert caplog.messages[0] in PAGE
