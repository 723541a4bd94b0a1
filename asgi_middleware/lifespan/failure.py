"""What failed at startup or shutdown, and in which part."""

import logging
import re

logger = logging.getLogger(__name__)


# As __str__ has it, which a lifespan of ours sends to the one around it.
_REPORT = re.compile(r"(?P<text>.*) \(in (?P<name>[\w.<>]+)\)")


class Failure:
    """An error, and the name of the context, task or app that raised it."""

    def __init__(self, name: str, error: BaseException, text: str = "") -> None:
        self.name = name
        self.error = error
        self._text = text or f"{type(error).__name__}: {error}"

    @classmethod
    def reported(cls, name: str, error: BaseException, text: str) -> "Failure":
        """Return the failure that *name* has reported; it may name the part of it at fault."""
        report = _REPORT.fullmatch(text)
        return cls(report["name"], error, report["text"]) if report else cls(name, error, text)

    def __str__(self) -> str:
        return f"{self._text} (in {self.name})"

    def log(self, when: str) -> None:
        logger.error("%s failed in %s", when, self.name, exc_info=self.error)

    def exception(self) -> Exception:
        """Return the exception to raise to the server.

        ``SystemExit`` in a task would end the event loop at once, before anything is closed.
        ``CancelledError`` would look as if the server had cancelled us.
        """
        if isinstance(self.error, Exception):
            return self.error
        exception = RuntimeError(str(self))
        exception.__cause__ = self.error
        return exception
