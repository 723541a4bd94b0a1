"""Log lines in production: without queries."""

import logging

from example_project.logs import WithoutQueries


def test_a_line_loses_its_query_and_keeps_its_other_arguments() -> None:
    line = logging.LogRecord(
        "a", logging.INFO, "", 1, '%s - "GET %s HTTP/1.1" %d', ("::1", "/?token=secret", 200), None
    )

    assert WithoutQueries().filter(line)
    assert line.getMessage() == '::1 - "GET /?… HTTP/1.1" 200'


def test_a_line_without_a_query_keeps_its_arguments() -> None:
    line = logging.LogRecord("a", logging.INFO, "", 1, "%d%% of %s", (50, "it"), None)

    assert WithoutQueries().filter(line)
    assert (line.getMessage(), line.args) == ("50% of it", (50, "it"))
