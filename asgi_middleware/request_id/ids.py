"""What a request ID is: how to make one, and which ones are safe."""

import os
import re
import time

LONGEST = 128
# The floor, which no option lifts. It keeps line breaks out of headers and logs, whatever a
# validator accepts.
FLOOR = re.compile(rf"[\x21-\x7e]{{1,{LONGEST}}}")
USUAL = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._~+/=:@-]{{0,{LONGEST - 1}}}")
# Not uuid.UUID(), which also accepts braces, a URN, dashes anywhere, and 100 kB of them.
_UUID = re.compile(r"(?i:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def generate_request_id() -> str:
    """Return 32 random hexadecimal digits, which are also a valid W3C trace ID."""
    return os.urandom(16).hex()


def uuid7_hex() -> str:
    """Return a UUID of version 7 without dashes; such IDs sort by the millisecond.

    https://www.rfc-editor.org/rfc/rfc9562#section-5.7
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    version, variant = 0x7 << 76, 0b10 << 62
    random &= ~((0xF << 76) | (0b11 << 62))
    return f"{milliseconds << 80 | random | version | variant:032x}"


def is_valid_request_id(request_id: str) -> bool:
    """Accept the IDs that are in use: UUID, ULID, KSUID, those of AWS, Heroku, Cloudflare."""
    return USUAL.fullmatch(request_id) is not None


def is_uuid(request_id: str) -> bool:
    """Accept UUIDs of any version, with or without dashes, in either case, and nothing else."""
    return _UUID.fullmatch(request_id) is not None
