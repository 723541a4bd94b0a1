"""What a request ID is: how to make one, and which ones are safe."""

import os
import re
import time
from collections.abc import Callable, Sequence

from .._headers import trimmed
from .._names import qualified_name

Validator = Callable[[str], bool]

# The longest ID that Heroku accepts.
LONGEST = 200
# The floor: the rule that no option relaxes. It keeps line breaks out of headers and logs, whatever
# a validator accepts.
FLOOR = re.compile(rf"[\x21-\x7e]{{1,{LONGEST}}}")
FLOOR_IN_WORDS = f"1 to {LONGEST} visible ASCII characters"
# The formats of proxies, clouds and frameworks; tests/request_id/formats.py has a row for each.
# There must be a letter or digit, because Envoy sends "-" if there is no ID. A comma is allowed
# only between Heroku's IDs, which are 20 or more of the characters that Heroku allows.
_USUAL = re.compile(
    rf"(?=[^A-Za-z0-9]{{0,{LONGEST - 1}}}+[A-Za-z0-9])"
    rf"(?:[A-Za-z0-9._~+/=:;@|#!?-]{{1,{LONGEST}}}"
    rf"|(?=.{{1,{LONGEST}}}\Z)[A-Za-z0-9+/=-]{{20,}}+(?:,[A-Za-z0-9+/=-]{{20,}}+)+)"
)
# Not uuid.UUID(), which also accepts braces, a URN, dashes anywhere, and 100 kB of them.
_UUID = re.compile(r"(?i:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def generate_request_id() -> str:
    """Return 32 random hexadecimal digits, which are also a valid W3C trace ID."""
    return os.urandom(16).hex()


def uuid7_hex() -> str:
    """Return a UUID of version 7 without dashes. Such IDs sort by time, to the millisecond.

    https://www.rfc-editor.org/rfc/rfc9562#section-5.7
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    version, variant = 0x7 << 76, 0b10 << 62
    random &= ~((0xF << 76) | (0b11 << 62))
    return f"{milliseconds << 80 | random | version | variant:032x}"


def is_valid_request_id(request_id: str) -> bool:
    """Accept the IDs that proxies, clouds and frameworks send, such as a UUID or an AWS trace.

    Letters, digits and ``._~+/=:;@|#!?-`` are accepted, and commas between Heroku's IDs. What could
    be misread in a log is refused: spaces, quotes, brackets, ``%``, ``$``, ``\\`` and other commas.
    """
    return _USUAL.fullmatch(request_id) is not None


def is_uuid(request_id: str) -> bool:
    """Accept UUIDs of any version, with or without dashes, in either case, and nothing else."""
    return _UUID.fullmatch(request_id) is not None


def accepting(validator: Validator | None) -> Callable[[str], object]:
    """Return the check for an ID that was sent: the floor first, then *validator*."""
    if validator is None:
        return FLOOR.fullmatch
    if validator is is_valid_request_id:
        return _USUAL.fullmatch  # stricter than the floor

    def accepts(request_id: str) -> bool:
        if not FLOOR.fullmatch(request_id):
            return False
        try:
            return bool(validator(request_id))
        except Exception:  # noqa: BLE001 -- not logged: its message may contain the value
            return False

    return accepts


def agree(sent: Sequence[bytes]) -> bool:
    """Tell whether all lines of a header have the same value."""
    first = trimmed(sent[0])
    return all(trimmed(each) == first for each in sent)


def reason(sent: Sequence[bytes], validator: Validator | None) -> str:
    """Say why the lines of a header have no acceptable ID, without repeating what they contain."""
    value = trimmed(sent[0])
    if not agree(sent):
        return "its lines differ"
    if not value:
        return "it is empty"
    if len(value) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if not FLOOR.fullmatch(value.decode("latin-1")):
        return "it is not visible ASCII"
    return f"{qualified_name(validator)} refused it"
