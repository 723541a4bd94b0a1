"""The exception that a wrong option raises, at start-up, with the way out."""

from collections.abc import Iterable


class ConfigurationError(ValueError):
    """A middleware cannot be built from the options it was given.

    Raised by constructors only, never while a request is served. It carries all
    problems at once, so that a configuration is mended in one go; each is a
    sentence that starts with the option, shows its value, and says what to write
    instead.

        CORSMiddleware: allow_origins: 'https://a.example/' ends with a slash; write 'https://a.example'
    """

    def __init__(self, subject: str, problems: Iterable[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__(subject, self.problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.subject}: {problem}" for problem in self.problems)


class ConfigurationWarning(UserWarning):
    """An option has no effect, or one that its author may not expect."""
