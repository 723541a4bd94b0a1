"""Log lines without queries. Servers log them, and they may hold secrets."""

import logging
import re

# A quote may follow a query, and may be a part of it.
_QUERY = re.compile(r"\?\S+?(?=[\"']?(?:\s|$))", re.ASCII)


def without_queries(text: str) -> str:
    return _QUERY.sub("?…", text)


class WithoutQueries(logging.Filter):
    """Removes queries from the message of each line. Put it on handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "?" in message:
            record.msg, record.args = without_queries(message), None
        return True
