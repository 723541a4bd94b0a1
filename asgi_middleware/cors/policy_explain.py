"""What a policy does with a page's requests, in words."""

from collections.abc import Sequence

from .._origins import is_sendable
from ..types import Header
from .allowed_origins import Grant
from .policy import CompiledPolicy

_VERDICTS: dict[Grant, str] = {
    "every": "allowed, like every origin",
    "listed": "allowed: it is listed",
    "pattern": "allowed: a pattern matches it",
    "regex": "allowed: allow_origin_regex matches it",
    "function": "not listed; allow_origin_func decides for each request",
}


def explain(
    policy: CompiledPolicy, origin: str, method: str | None = None, headers: Sequence[str] = ()
) -> str:
    """Say what *origin* gets and why; with *method*, also what such a preflight gets."""
    sent = origin.encode()
    lines: list[str] = []
    reason, grant = policy.origins.grant(sent), policy.granted(sent)
    if reason is not None:
        verdict = _VERDICTS[reason]
    elif not is_sendable(origin):
        verdict = "refused: no browser sends an origin like that"
    elif policy.origins.have_function:
        verdict = _VERDICTS["function"]
        lines.append("If the function allows it:")
        grant = policy.grant_headers(sent)
    else:
        verdict = "refused: nothing in the policy matches it"
    edited = policy.without_grant(()) if grant is None else policy.with_grant(grant, ())
    lines += ["Its responses get:", *map(_in_words, edited)]
    if method is not None:
        asked = {
            b"access-control-request-method": method.encode(),
            b"access-control-request-headers": ", ".join(headers).encode(),
        }
        response = policy.preflights.response(asked, grant)
        outcome = "succeeds" if response.refusal is None else f"fails: {response.refusal}"
        asking = f"{method} with {', '.join(headers)}" if headers else method
        lines += [
            f"A preflight for {asking} {outcome}. The response is a {response.status} with:",
            *map(_in_words, response.headers),
        ]
    return "\n".join([f"The origin {origin!r} is {verdict}.", *lines])


def _in_words(header: Header) -> str:
    name, value = header
    return f"  {name.decode().title()}: {value.decode()}"
