"""The ASGI side of CORS: find the request's kind, ask the policy, answer or delegate."""

import logging
from collections.abc import Sequence
from functools import partial

from .._headers import values
from .._send import editing_headers, send_response
from ..errors import ConfigurationError
from ..types import ASGIApp, Headers, Receive, Scope, Send
from .policy import CORSPolicy

logger = logging.getLogger(__name__)

# Bytes; the longest origin that a browser sends has a host name of 253.
_ORIGIN_LIMIT = 326


class CORSMiddleware:
    """Answer preflights, and tell browsers which origins may read a response.

    The options are those of :class:`CORSPolicy`; so are the errors.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allow_origins: Sequence[str] = (),
        allow_methods: Sequence[str] = ("GET",),
        allow_headers: Sequence[str] = (),
        allow_credentials: bool = False,
        expose_headers: Sequence[str] = (),
        max_age: int | None = 600,
    ) -> None:
        self.app = app
        try:
            self._policy = CORSPolicy(
                allow_origins=allow_origins,
                allow_methods=allow_methods,
                allow_headers=allow_headers,
                allow_credentials=allow_credentials,
                expose_headers=expose_headers,
                max_age=max_age,
            )
        except ConfigurationError as error:
            raise ConfigurationError("CORSMiddleware", error.problems) from None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        headers: Headers = list(scope.get("headers", ()))
        origins = values(headers, b"origin")
        if scope["method"] == "OPTIONS" and origins:
            methods = values(headers, b"access-control-request-method")
            if methods:
                return await self._answer_preflight(_only(origins), methods[0], headers, send)

        edit = partial(self._policy.response_headers, _only(origins))
        if not isinstance(scope.get("headers", ()), list | tuple):
            scope = {**scope, "headers": headers}  # it could be read only once, and was
        await self.app(scope, receive, editing_headers(send, edit))

    async def _answer_preflight(
        self, origin: bytes | None, method: bytes, headers: Headers, send: Send
    ) -> None:
        names = values(headers, b"access-control-request-headers")
        answer = self._policy.preflight(origin, method, names)
        if answer.refusal is None:
            return await send_response(send, answer.status, answer.headers)
        logger.info("preflight refused: %s", answer.refusal)
        body = answer.refusal.encode()
        about_body = (
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
        )
        await send_response(send, answer.status, (*about_body, *answer.headers), body)


def _only(origins: list[bytes]) -> bytes | None:
    """Return the one origin that a browser sends; several, or a monstrous one, are none."""
    if len(origins) != 1 or len(origins[0]) > _ORIGIN_LIMIT:
        return None
    return origins[0]
