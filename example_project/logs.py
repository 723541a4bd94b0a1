"""Log lines without query strings, which may contain secrets."""

import logging
import re

# A quote may follow a query string, or be part of it.
_QUERY = re.compile(r"\?\S+?(?=[\"']?(?:\s|$))", re.ASCII)


def without_queries(text: str) -> str:
    return _QUERY.sub("?…", text)


class WithoutQueries(logging.Filter):
    """Removes query strings from the message of each line. Put it on handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "?" in message:
            record.msg, record.args = without_queries(message), None
        return True
