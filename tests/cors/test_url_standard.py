"""Origins and hints follow the URL standard, and agree with Node on many texts."""

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


def test_a_text_is_sendable_if_the_url_standard_does_not_change_it(written: Written) -> None:
    # We refuse a comma on purpose, because it separates the values of joined lines.
    expected = {text for text, each in written.items() if each == text and "," not in text}

    assert {text for text in written if is_sendable(text)} == expected


def test_every_sendable_origin_can_be_configured(written: Written) -> None:
    assert [text for text in written if is_sendable(text) and problem_with(text) is not None] == []


def test_a_hint_is_the_origin_as_the_url_standard_writes_it(written: Written) -> None:
    hints: Written = {}
    for text in written:
        way_out = (problem_with(text) or "").rpartition("; use ")[2]
        if way_out.startswith(("'", '"')):  # a way out may also be in words
            hints[text] = ast.literal_eval(way_out)

    assert len(hints) > len(written) / 20
    assert {text: written[text] for text in hints} == hints


def test_the_stored_table_agrees_with_node() -> None:
    program("node", "nodejs")
    rows = table()

    assert written_by_node(list(rows)) == rows
