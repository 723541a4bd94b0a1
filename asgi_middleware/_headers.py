"""Reading and changing lists of headers, without ever editing one in place.

Names are compared in lower case: ASGI asks applications to send them that way
(https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event),
Django sends ``Content-Type`` and ``Vary``. Names given to these functions are
lower case already.
"""

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


def rereadable(scope: Scope) -> tuple[Scope, Headers]:
    """Return *scope* and its headers, as a list if they could be read only once."""
    headers = scope.get("headers", ())
    if isinstance(headers, (list, tuple)):  # a union type would be made anew each time
        return scope, cast("Headers", headers)
    headers = list(headers)
    return {**scope, "headers": headers}, headers


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


def vary_on(headers: Headers, *names: bytes) -> list[Header]:
    """Return *headers* with *names* listed in ``Vary``, keeping what is there.

    Several lines become one, where the first stood. ``Vary: *`` says more than
    any name could, and stays. https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5
    """
    headers = list(headers)
    lines = values(headers, b"vary")
    if not lines:
        headers.append((b"vary", b", ".join(names)))
        return headers
    listed = elements(b",".join(lines))
    known = {element.lower() for element in listed}
    missing = [name for name in names if name.lower() not in known]
    if b"*" in known or not missing:
        return headers
    folded = (b"vary", b", ".join([*listed, *missing]))
    position = next(i for i, (key, _) in enumerate(headers) if key.lower() == b"vary")
    others = [header for header in headers if header[0].lower() != b"vary"]
    return [*others[:position], folded, *others[position:]]
