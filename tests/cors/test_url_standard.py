"""Origins and hints go by the URL standard: the same as in Node, over many texts."""

import ast

import pytest

from asgi_middleware._origins import is_sendable, problem_with
from tests.servers.missing import program

from .url_standard import generated, letters, table, written_by_node

Written = dict[str, str | None]


@pytest.fixture(scope="module", params=["the table", "Node"])
def written(request: pytest.FixtureRequest) -> Written:
    if request.param == "the table":
        return table()
    program("node", "nodejs")
    return written_by_node([*generated(20_000), *letters()])


def test_a_client_could_send_what_the_url_standard_leaves_as_it_is(written: Written) -> None:
    # The comma is left out on purpose: it stands between several origins.
    expected = {text for text, each in written.items() if each == text and "," not in text}

    assert {text for text in written if is_sendable(text)} == expected


def test_what_a_client_could_send_can_be_configured(written: Written) -> None:
    assert [text for text in written if is_sendable(text) and problem_with(text) is not None] == []


def test_a_hint_is_what_the_url_standard_writes(written: Written) -> None:
    hints: Written = {}
    for text in written:
        way_out = (problem_with(text) or "").rpartition("; use ")[2]
        if way_out.startswith(("'", '"')):  # and not in words
            hints[text] = ast.literal_eval(way_out)

    assert len(hints) > len(written) / 20
    assert {text: written[text] for text in hints} == hints


def test_the_table_is_what_node_writes() -> None:
    program("node", "nodejs")
    rows = table()

    assert written_by_node(list(rows)) == rows
