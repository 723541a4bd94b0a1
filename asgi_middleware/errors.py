"""The error for options that cannot work, and the warning for those that may surprise you."""

from collections.abc import Iterable


class ConfigurationError(ValueError):
    """A layer cannot be built from the options that it was given.

    Constructors raise it at startup, never while a request is served. It lists all problems at
    once, so you can fix a configuration in one go. Each problem names the option, shows its
    value, and says what to use instead:

        CORSMiddleware: allow_origins: 'https://a.example/' ends with a slash; use 'https://a.example'
    """

    def __init__(self, subject: str, problems: Iterable[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__(subject, self.problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.subject}: {problem}" for problem in self.problems)


class ConfigurationWarning(UserWarning):
    """An option has no effect, or an effect that you may not expect."""
