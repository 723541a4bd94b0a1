"""The ASGI side of CORS: find the request's kind, ask the policy, answer or delegate."""

import logging
import re
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from .._headers import with_readable_headers
from .._responses import send_response, send_text
from ..errors import ConfigurationError, ConfigurationWarning
from ..types import ASGIApp, Header, Headers, Message, Receive, Scope, Send
from .function import OriginFunction, allows
from .policy import CORSPolicy, Grant

logger = logging.getLogger("asgi_middleware.cors")


class CORSMiddleware:
    """Answer preflights, and tell browsers which origins may read a response.

    The first options are those of :class:`CORSPolicy`, in Starlette's order, and make
    the policy of all paths but those in ``policies``. Beyond them, keyword-only:

    * ``policies``: ``{"/api/": CORSPolicy(...), "/admin/": None}``; the longest prefix
      of the path, after ``root_path`` and at the end of a segment, decides. None is no
      CORS at all there: such requests pass as they are.
    * ``debug``: answer a preflight that fails for its method or headers in such a way
      that a browser's console names the one at fault. The request stays forbidden.
    * ``error_responses``: when the app raises before it has answered an allowed origin,
      send a plain 500 that its page can see, and raise on.

    Raises :class:`ConfigurationError` with every problem at once.
    """

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Sequence[str] = (),
        allow_methods: Sequence[str] = ("GET",),
        allow_headers: Sequence[str] = (),
        allow_credentials: bool = False,
        allow_origin_regex: str | re.Pattern[str] | None = None,
        allow_private_network: bool = False,
        expose_headers: Sequence[str] = (),
        max_age: int | None = 600,
        *,
        allow_origin_func: OriginFunction | None = None,
        policies: Mapping[str, CORSPolicy | None] | None = None,
        debug: bool = False,
        error_responses: bool = True,
    ) -> None:
        self.app = app
        self._debug = debug
        self._error_responses = error_responses
        problems, self._policies = _by_prefix(policies or {})
        try:
            self._policy = CORSPolicy(
                allow_origins=allow_origins,
                allow_methods=allow_methods,
                allow_headers=allow_headers,
                allow_credentials=allow_credentials,
                allow_origin_regex=allow_origin_regex,
                allow_private_network=allow_private_network,
                expose_headers=expose_headers,
                max_age=max_age,
                allow_origin_func=allow_origin_func,
            )
        except ConfigurationError as error:
            problems += error.problems
        if problems:
            raise ConfigurationError("CORSMiddleware", problems)
        if not policies and not self._policy.allows_any_origin:
            warnings.warn(
                "CORSMiddleware: no origin is allowed, so nothing will be; list allow_origins",
                ConfigurationWarning,
                stacklevel=2,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        policy = self._policy_for(scope) if self._policies else self._policy
        if policy is None:
            return await self.app(scope, receive, send)

        if scope["method"] == "OPTIONS":
            scope, headers = with_readable_headers(scope)
            if (asked := _preflight(headers)) is not None:
                return await self._answer(asked, policy, scope, send)

        if policy.is_static:
            grant = policy.grant(b"*")
        else:
            scope, headers = with_readable_headers(scope)
            origin = b",".join([value for name, value in headers if name == b"origin"])
            grant = policy.grant(origin)
            if grant is None and policy.allow_origin_func is not None:
                grant = await _granted_by(policy.allow_origin_func, origin, policy, scope)
        edit = policy.without_grant if grant is None else partial(policy.with_grant, grant)
        await self._delegate(scope, receive, send, edit, is_granted=grant is not None)

    def _policy_for(self, scope: Scope) -> CORSPolicy | None:
        # A mounted app's path begins with where it is mounted.
        # https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        for prefix, policy in self._policies:
            if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
                return policy
        return self._policy

    async def _answer(
        self, asked: Mapping[bytes, bytes], policy: CORSPolicy, scope: Scope, send: Send
    ) -> None:
        """Answer a preflight; the app never hears of it."""
        origin = asked[b"origin"]
        grant = policy.grant(origin)
        if grant is None and policy.allow_origin_func is not None:
            grant = await _granted_by(policy.allow_origin_func, origin, policy, scope)
        answer = policy.preflight(
            grant,
            asked[b"access-control-request-method"],
            asked.get(b"access-control-request-headers", b""),
            private_network=asked.get(b"access-control-request-private-network") == b"true",
            debug=self._debug,
        )
        if answer.refusal is not None:
            logger.info("preflight refused: %s", answer.refusal)
        if answer.status == 204:
            return await send_response(send, 204, answer.headers)
        await send_text(send, answer.status, answer.headers, f"CORS: {answer.refusal}")

    async def _delegate(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        edit: Callable[[Headers], list[Header]],
        *,
        is_granted: bool,
    ) -> None:
        """Call the app, with the headers of its response, or of its failure, edited."""
        started = False

        def cors_send(message: Message) -> Awaitable[None]:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": edit(message.get("headers", ()))}
            return send(message)

        try:
            await self.app(scope, receive, cors_send)
        except Exception:
            # The server's own 500 has no headers of ours, and a browser would hide it
            # from the page behind a CORS error.
            if self._error_responses and is_granted and not started and _has_origin(scope):
                with suppress(OSError):  # the client is gone
                    await send_text(cors_send, 500, (), "Internal Server Error")
            raise


async def _granted_by(
    function: OriginFunction, origin: bytes, policy: CORSPolicy, scope: Scope
) -> Grant | None:
    """Return what ``allow_origin_func`` grants an origin that nothing else did."""
    if not policy.may_ask_function(origin):
        return None
    allowed = await allows(function, origin.decode("ascii"), scope)
    return policy.grant_to(origin) if allowed else None


# https://fetch.spec.whatwg.org/#http-requests and https://wicg.github.io/private-network-access/
_PREFLIGHT_NAMES = frozenset(
    {
        b"origin",
        b"access-control-request-method",
        b"access-control-request-headers",
        b"access-control-request-private-network",
    }
)


def _preflight(headers: Headers) -> Mapping[bytes, bytes] | None:
    """Return what an OPTIONS request asks, None if it is no preflight."""
    lines = [header for header in headers if header[0] in _PREFLIGHT_NAMES]
    asked = dict(lines)
    if len(asked) < len(lines):
        # Several lines are one list (RFC 9110, section 5.3), and a list that stands for an
        # origin or a method matches nothing.
        asked = {name: b",".join(v for key, v in lines if key == name) for name in asked}
    is_preflight = b"origin" in asked and b"access-control-request-method" in asked
    return asked if is_preflight else None


def _has_origin(scope: Scope) -> bool:
    return any(name == b"origin" for name, _ in scope.get("headers", ()))


def _by_prefix(
    policies: Mapping[str, CORSPolicy | None],
) -> tuple[list[str], list[tuple[str, CORSPolicy | None]]]:
    """Return what is wrong with *policies*, and the policies, the longest prefix first."""
    problems: list[str] = []
    found: dict[str, CORSPolicy | None] = {}
    for path, policy in policies.items():
        prefix = path.rstrip("/")
        if not path.startswith("/"):
            problems.append(f"policies: {path!r} does not begin with a slash; write {f'/{path}'!r}")
        elif not prefix:
            problems.append(f"policies: {path!r} is every path; give its options directly")
        elif prefix in found:
            problems.append(
                f"policies: {path!r} is there twice, with and without a slash; keep one"
            )
        if policy is not None and not isinstance(policy, CORSPolicy):
            problems.append(f"policies: {policy!r} is no policy; write CORSPolicy(...) or None")
        found[prefix] = policy
    return problems, sorted(found.items(), key=lambda item: len(item[0]), reverse=True)
