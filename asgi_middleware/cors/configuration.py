"""What is wrong with a policy's options, and what is merely useless. No ASGI here.

Dangerous options are refused, all problems at once; useless ones are warned about.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from .._headers import is_token
from .._origins import is_loopback, is_pattern, problem_with, shared_suffix

if TYPE_CHECKING:
    from .policy import CORSPolicy

# What pages can never send. https://fetch.spec.whatwg.org/#forbidden-method
FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
# Upper-cased by browsers before they compare. https://fetch.spec.whatwg.org/#concept-method-normalize
NORMALIZED_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
# https://fetch.spec.whatwg.org/#forbidden-request-header
FORBIDDEN_HEADERS = frozenset(
    {
        *("accept-charset", "accept-encoding", "access-control-request-headers"),
        *("access-control-request-method", "access-control-request-private-network"),
        *("connection", "content-length", "cookie", "cookie2", "date", "dnt", "expect", "host"),
        *("keep-alive", "origin", "referer", "set-cookie", "te", "trailer", "transfer-encoding"),
        *("upgrade", "via"),
    }
)
# Seconds; Firefox takes no more, Chromium 7200.
LONGEST_MAX_AGE = 86_400

LISTS = ("allow_origins", "allow_methods", "allow_headers", "expose_headers")


def problems(policy: "CORSPolicy") -> list[str]:
    """Return every reason not to accept *policy*, each with the way out."""
    lists: Mapping[str, object] = {option: getattr(policy, option) for option in LISTS}
    found = [problem for option, value in lists.items() if (problem := _no_list(option, value))]
    if found:
        return found  # the letters of a string are not worth looking at
    return [
        *_origin_problems(policy),
        *_regex_problems(policy),
        *_method_problems(policy.allow_methods),
        *_header_problems("allow_headers", policy.allow_headers),
        *_header_problems("expose_headers", policy.expose_headers),
        *_value_problems(policy),
    ]


def warnings(policy: "CORSPolicy") -> list[str]:
    """Return what will not do what its author seems to expect."""
    return [*_useless(policy), *_risky(policy)]


def origin_problems(option: str, origins: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with each of *origins*; ``*`` and ``null`` are the caller's."""
    for origin in origins:
        if not isinstance(origin, str):
            yield f"{option}: {origin!r} is not a string; write it like 'https://app.example'"
        elif origin not in ("*", "null") and (problem := problem_with(origin)):
            yield f"{option}: {problem}"


def _no_list(option: str, value: object) -> str | None:
    if isinstance(value, str | bytes):
        return f"{option}: {value!r} is a string; write a list, [{value!r}]"
    if not isinstance(value, Sequence | set | frozenset):
        return f"{option}: {value!r} is not a list; write ['https://app.example'] or the like"
    return None


def _origin_problems(policy: "CORSPolicy") -> Iterator[str]:
    yield from origin_problems("allow_origins", policy.allow_origins)
    if not policy.allow_credentials:
        return
    for origin in policy.allow_origins:
        if origin == "*":
            yield (
                "allow_origins: '*' cannot be combined with allow_credentials=True: every site"
                " could act as its visitors; list the origins"
            )
        elif origin == "null":
            yield (
                "allow_origins: 'null' cannot be combined with allow_credentials=True: any page"
                " can make itself one, in a sandboxed frame; leave it out"
            )
        elif suffix := shared_suffix(origin):
            yield (
                f"allow_origins: {origin!r} cannot be combined with allow_credentials=True:"
                f" anybody can get a name under {suffix!r}; list the origins"
            )


def _regex_problems(policy: "CORSPolicy") -> Iterator[str]:
    if policy.allow_origin_regex is None:
        return
    try:
        matches = re.compile(policy.allow_origin_regex).fullmatch
        # Drawn anew each time, so that no regex can be written to know it.
        host = f"{secrets.token_hex(8)}.invalid"
        careless = any(matches(f"{scheme}://{host}") for scheme in ("http", "https"))
    except (re.error, TypeError) as error:
        yield (
            f"allow_origin_regex: {policy.allow_origin_regex!r} is no regular expression for"
            f" strings ({error}); write one like r'https://[a-z]+\\.example\\.org'"
        )
        return
    if careless and policy.allow_credentials:
        yield (
            f"allow_origin_regex: {policy.allow_origin_regex!r} matches every origin (here"
            f" 'https://{host}'), and cannot be combined with allow_credentials=True;"
            r" end it with the name of your site, 'https://.*\.example\.org'"
        )


def _method_problems(methods: Sequence[str]) -> Iterator[str]:
    for method in methods:
        if not isinstance(method, str) or not is_token(method.encode()):
            yield f"allow_methods: {method!r} is no method{_did_you_mean(method)}"
        elif method.upper() in FORBIDDEN_METHODS:
            yield f"allow_methods: browsers let no page send {method!r}; leave it out"


def _did_you_mean(method: object) -> str:
    known = [*sorted(NORMALIZED_METHODS), "PATCH"]
    guesses = get_close_matches(str(method).strip().upper(), known, n=1)
    return f"; did you mean {guesses[0]!r}?" if guesses else "; write one like 'GET'"


def _header_problems(option: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if not isinstance(name, str) or not is_token(name.encode()):
            guess = re.sub(r"[^!#$%&'*+.^`|~0-9a-z-]+", "-", str(name).strip().lower()).strip("-")
            hint = f"did you mean {guess!r}?" if guess else "write one like 'x-request-id'"
            yield f"{option}: {name!r} is no header name; {hint}"


def _value_problems(policy: "CORSPolicy") -> Iterator[str]:
    if policy.allow_credentials and "*" in policy.expose_headers:
        # https://fetch.spec.whatwg.org/#http-access-control-expose-headers
        yield (
            "expose_headers: with allow_credentials=True '*' is a header of that name and"
            " exposes nothing; list the headers"
        )
    age = policy.max_age
    if age is not None and (not isinstance(age, int) or isinstance(age, bool) or age < 0):
        yield f"max_age: {age!r} is no number of seconds; write 0 to forbid caching, or 600"
    if policy.allow_origin_func is not None and not callable(policy.allow_origin_func):
        yield (
            f"allow_origin_func: {policy.allow_origin_func!r} cannot be called; write a function"
            " of the origin and the scope"
        )


def _useless(policy: "CORSPolicy") -> Iterator[str]:
    for name in policy.allow_headers:
        lower = name.lower()
        if lower in FORBIDDEN_HEADERS or lower.startswith(("proxy-", "sec-")):
            yield f"allow_headers: browsers let no page set {name!r}; leave it out"
    if "patch" in policy.allow_methods:
        yield "allow_methods: browsers do not make 'patch' upper case; write 'PATCH'"
    if policy.max_age is not None and policy.max_age > LONGEST_MAX_AGE:
        yield f"max_age: no browser keeps an answer for {policy.max_age} s; write {LONGEST_MAX_AGE}"


def _risky(policy: "CORSPolicy") -> Iterator[str]:
    if not policy.allow_credentials:
        return
    for origin in policy.allow_origins:
        if origin.startswith("http://") and not is_loopback(origin):
            kind = "pattern" if is_pattern(origin) else "origin"
            yield (
                f"allow_origins: over the {kind} {origin!r} anybody on the network can act as its"
                f" visitors; write 'https{origin.removeprefix('http')}'"
            )
