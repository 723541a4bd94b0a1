"""Reading and changing lists of headers, without ever editing one in place.

Names are compared in lower case: ASGI asks applications to send them that way
(https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event),
Django sends ``Content-Type`` and ``Vary``. Names given to these functions are
lower case already.
"""

from collections.abc import Collection
from typing import cast

from .types import Header, Headers, Scope

# RFC 9110, section 5.6.2
TOKEN_BYTES = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
# RFC 9110, section 5.6.3: what may surround a value, and servers may leave there.
OWS = b" \t"


def is_token(value: bytes) -> bool:
    """Tell whether *value* is a token: a header name, a method."""
    return bool(value) and TOKEN_BYTES.issuperset(value)


def with_readable_headers(scope: Scope) -> tuple[Scope, Headers]:
    """Return *scope* and its headers, as a list if they could be read only once."""
    headers = scope.get("headers", ())
    if isinstance(headers, (list, tuple)):  # a union type would be made anew each time
        return scope, cast("Headers", headers)
    headers = list(headers)
    return {**scope, "headers": headers}, headers


def trimmed(value: bytes) -> bytes:
    """Return *value* without the blanks around it, which are not part of it but may come along.

    Some servers take them away, some do not. https://www.rfc-editor.org/rfc/rfc9110#section-5.5
    """
    return value.strip(OWS)


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Return every value of *name*, in order."""
    return [value for key, value in headers if key.lower() == name]


def replaced(headers: Headers, name: bytes, value: bytes) -> list[Header]:
    """Return *headers* with exactly one *name*, at the end."""
    kept = [header for header in headers if header[0].lower() != name]
    kept.append((name, value))
    return kept


def elements(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list (RFC 9110, section 5.6.1)."""
    return [element for part in value.split(b",") if (element := part.strip(OWS))]


def vary_on(
    headers: Headers, name: bytes, *, without: Collection[bytes] = (), more: Headers = ()
) -> list[Header]:
    """Return *headers* with *name* listed in their one ``Vary``, keeping what is there.

    In the same pass, those that *without* names are left out and *more* are added.
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
    """Return the list *value* of a ``Vary`` with *name* in it.

    ``*`` says more than any name could, and stays alone.
    https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5
    """
    if not value:
        return name
    lower = value.lower()
    # Split only where it may be there already.
    if (name.lower() in lower or b"*" in lower) and {b"*", name.lower()} & {*elements(lower)}:
        return value
    return value + b", " + name
