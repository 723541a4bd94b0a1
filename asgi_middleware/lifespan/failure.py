"""What failed at startup or shutdown, and in which part."""

import logging

logger = logging.getLogger(__name__)


class Failure:
    """An error, and the name of the context, task or app that raised it."""

    def __init__(self, name: str, error: BaseException, text: str = "") -> None:
        self.name = name
        self.error = error
        self._text = text or f"{type(error).__name__}: {error}"

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
