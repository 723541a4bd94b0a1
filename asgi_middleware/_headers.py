"""Reading and changing lists of headers, without ever editing one in place.

Names are compared in lower case. ASGI asks applications to send them that way
(https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event), but
Django sends ``Content-Type`` and ``Vary``. Pass names to these functions in lower case.
"""

from collections.abc import Collection
from typing import cast

from .types import Header, Headers, Scope

# RFC 9110, section 5.6.2
TOKEN_BYTES = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
# RFC 9110, section 5.6.3: whitespace that may surround a value. Some servers leave it there.
OWS = b" \t"


def is_token(value: bytes) -> bool:
    """Tell whether *value* is a token, as header names and methods must be."""
    return bool(value) and TOKEN_BYTES.issuperset(value)


def with_readable_headers(scope: Scope) -> tuple[Scope, Headers]:
    """Return *scope* and its headers; an iterator, which can be read only once, becomes a list."""
    headers = scope.get("headers", ())
    if isinstance(headers, (list, tuple)):  # faster than a union type
        return scope, cast("Headers", headers)
    headers = list(headers)
    return {**scope, "headers": headers}, headers


def trimmed(value: bytes) -> bytes:
    """Return *value* without the whitespace around it, which is not part of the value.

    Some servers strip it, and some do not. https://www.rfc-editor.org/rfc/rfc9110#section-5.5
    """
    return value.strip(OWS)


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Return every value of *name*, in order."""
    return [value for key, value in headers if key.lower() == name]


def replaced(headers: Headers, name: bytes, value: bytes) -> list[Header]:
    """Return *headers* with exactly one *name*, as the last header."""
    kept = [header for header in headers if header[0].lower() != name]
    kept.append((name, value))
    return kept


def elements(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list (RFC 9110, section 5.6.1)."""
    return [element for part in value.split(b",") if (element := part.strip(OWS))]


def vary_on(
    headers: Headers, name: bytes, *, without: Collection[bytes] = (), more: Headers = ()
) -> list[Header]:
    """Return *headers* with *name* listed in their one ``Vary``, keeping the names already there.

    In the same pass, drop the headers named in *without* and add *more*.
    """
    kept: list[Header] = []
    vary: list[bytes] = []
    for header in headers:
        lower = header[0].lower()
        if lower == b"vary":
            if header[1]:
                vary.append(header[1])
        elif lower not in without:
            kept.append(header)
    kept += more
    # Several lines are one list: RFC 9110, section 5.3.
    kept.append((b"vary", with_element(b", ".join(vary), name)))
    return kept


def with_element(value: bytes, name: bytes) -> bytes:
    """Return *value*, the list of a ``Vary`` header, with *name* in it.

    ``*`` covers every name, so nothing is added to it.
    https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5
    """
    if not value:
        return name
    lower = value.lower()
    # Split only if the name may already be there.
    if (name.lower() in lower or b"*" in lower) and {b"*", name.lower()} & {*elements(lower)}:
        return value
    return value + b", " + name
