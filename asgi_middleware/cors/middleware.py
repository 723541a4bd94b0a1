"""The ASGI side of CORS: read a request, let its policy decide, respond or call the app."""

import logging
import re
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from .. import _options as options
from .._headers import trimmed, with_readable_headers
from .._paths import ByPrefix, path_below_root, prefix_problems
from .._responses import send_response, send_text
from ..errors import ConfigurationWarning
from ..types import ASGIApp, Header, Headers, Message, Receive, Scope, Send
from . import preflight
from .allowed_origins import OriginFunction, Regex
from .error_response import respond_to_error
from .options import CORSPolicy, policy_problems
from .preflight import PreflightResponse

logger = logging.getLogger("asgi_middleware.cors")

# A path prefix that can be logged as it is, and how many prefixes the log gives advice for.
_PREFIX = re.compile(r"/[\w.~-]{1,64}(?=/|\Z)", re.ASCII)
_MOST_PREFIXES = 100
# Stands for several Origin lines: it matches nothing.
_SEVERAL = b","


class CORSMiddleware:
    """Respond to preflights, and tell browsers which origins may read a response.

        CORSMiddleware(app, allow_origins=["https://app.example"], allow_methods=["GET", "PUT"])

    The first options are those of :class:`CORSPolicy`, in Starlette's order. They apply to all
    paths except those in ``policies``. The other options are keyword-only:

    * ``policies``: ``{"/api/": CORSPolicy(...), "/admin/": None}``; the longest prefix of the
      path below ``root_path`` decides. None means no CORS at all: the app gets such requests as
      they are.
    * ``debug``: if a preflight fails because of its method or a header, let the browser's console
      name it. The request stays forbidden.
    * ``error_responses``: if the app raises before it has responded to an allowed origin, send a
      plain 500 that the page can read. The exception still reaches the server.

    Raises :class:`ConfigurationError` with all problems at once.
    """

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Sequence[str] = (),
        allow_methods: Sequence[str] = ("GET",),
        allow_headers: Sequence[str] = (),
        allow_credentials: bool = False,
        allow_origin_regex: Regex | Sequence[Regex] | None = None,
        allow_private_network: bool = False,
        expose_headers: Sequence[str] = (),
        max_age: int | None = 600,
        *,
        allow_origin_func: OriginFunction | None = None,
        policies: Mapping[str, CORSPolicy | None] | None = None,
        debug: bool = False,
        error_responses: bool = True,
    ) -> None:
        policy_options: dict[str, Any] = {
            "allow_origins": allow_origins,
            "allow_methods": allow_methods,
            "allow_headers": allow_headers,
            "allow_credentials": allow_credentials,
            "allow_origin_regex": allow_origin_regex,
            "allow_private_network": allow_private_network,
            "expose_headers": expose_headers,
            "max_age": max_age,
            "allow_origin_func": allow_origin_func,
        }
        options.check(
            "CORSMiddleware",
            policy_problems(policy_options),
            _policies_problems(policies),
            options.boolean("debug", debug),
            options.boolean("error_responses", error_responses),
        )
        policy = CORSPolicy(**policy_options)
        if not policies and not policy.allows_any_origin:
            warnings.warn(
                "CORSMiddleware: no origin is allowed, so it has no effect; use allow_origins",
                ConfigurationWarning,
                stacklevel=2,
            )
        self.app = app
        by_path = {
            path: None if each is None else each.compiled()
            for path, each in (policies or {}).items()
        }
        self._policies = ByPrefix(by_path, policy.compiled())
        self._debug = debug
        self._error_responses = error_responses
        # The only state that requests change: the prefixes that the log has given advice for.
        self._advised: set[str] = set()
        self._options = {
            **vars(policy),
            "policies": policies,
            "debug": debug,
            "error_responses": error_responses,
        }

    def __repr__(self) -> str:
        return options.repr_of(self, **self._options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        policy = self._policies.of(scope)
        if policy is None:
            return await self.app(scope, receive, send)

        asked = None
        if scope["method"] == "OPTIONS":
            scope, headers = with_readable_headers(scope)
            asked = preflight.asked(headers)
        if asked is not None:
            origin = asked[b"origin"]
        elif policy.is_static:
            origin = b"*"
        else:
            sent = None
            scope, headers = with_readable_headers(scope)
            for name, value in headers:
                if name == b"origin":
                    sent = trimmed(value) if sent is None else _SEVERAL
            origin = sent or b""

        grant = policy.granted(origin)
        if grant is None and policy.origins.have_function:
            grant = await policy.granted_by_function(origin, scope)

        if asked is not None:
            response = policy.preflights.response(asked, grant, debug=self._debug)
            return await self._respond(response, scope, send)
        edit = policy.without_grant if grant is None else partial(policy.with_grant, grant)
        await self._delegate(scope, receive, send, edit, is_granted=grant is not None)

    async def _delegate(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        edit: Callable[[Headers], list[Header]],
        *,
        is_granted: bool,
    ) -> None:
        """Call the app, and edit the headers of its response, or of the 500 that replaces it."""
        started = False

        def cors_send(message: Message) -> Awaitable[None]:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": edit(message.get("headers", ()))}
            return send(message)

        try:
            await self.app(scope, receive, cors_send)
        except Exception as error:
            # The server's own 500 does not have our headers: a browser would hide it from the page
            # behind a CORS error.
            if self._error_responses and is_granted and not started and _has_origin(scope):
                await respond_to_error(self, error, scope, receive, cors_send)
            raise

    async def _respond(self, response: PreflightResponse, scope: Scope, send: Send) -> None:
        if response.refusal is not None and logger.isEnabledFor(logging.INFO):
            logger.info("preflight refused: %s%s", response.refusal, self._advice(scope))
        if response.status == 204:
            return await send_response(send, 204, response.headers)
        await send_text(send, response.status, response.headers, f"CORS: {response.refusal}")

    def _advice(self, scope: Scope) -> str:
        """Return, once for each prefix, what to do if the app handles CORS itself there."""
        found = _PREFIX.match(path_below_root(scope))
        if not found or found[0] in self._advised or len(self._advised) == _MOST_PREFIXES:
            return ""
        self._advised.add(found[0])
        return f'; if the app handles CORS itself there, use policies={{"{found[0]}/": None}}'


def _has_origin(scope: Scope) -> bool:
    return any(name == b"origin" for name, _ in scope.get("headers", ()))


_POLICY = "CORSPolicy(allow_origins=['https://app.example'])"


def _policies_problems(policies: object) -> Iterator[str]:
    yield from prefix_problems("policies", policies, f"{{'/api/': {_POLICY}}}", _policy_problems)
    for path in cast("Mapping[object, object]", policies) if isinstance(policies, Mapping) else ():
        if isinstance(path, str) and path and not path.strip("/"):
            yield f"policies: {path!r} covers every path; use the options of CORSMiddleware itself"


def _policy_problems(_: str, policy: object) -> Iterator[str]:
    return options.instance("policies", policy, CORSPolicy, _POLICY, optional=True)
