"""Pass on the request ID and the trace to the services that a request calls.

    await client.get(url, headers=outgoing_headers())

It needs :class:`asgi_middleware.RequestIDMiddleware` around the app, or
:class:`asgi_middleware.TraceContextMiddleware`, or both.
"""

from .request_id.context import current_id
from .trace_context import get_trace_context


def outgoing_headers() -> dict[str, str]:
    """Return the headers that pass on the current request's ID and trace to another service.

        await client.get(url, headers=outgoing_headers())

    Names are in lower case. The request ID is in the header that ``RequestIDMiddleware`` uses,
    ``X-Request-ID`` by default. Inside ``TraceContextMiddleware`` there is also ``traceparent``,
    with a new parent ID for each call of this function, and ``tracestate`` if the trace has one.
    Outside a request the dict is empty.
    """
    headers: dict[str, str] = {}
    if (current := current_id.get()) is not None:
        request_id, header = current
        headers[header] = request_id
    if (trace := get_trace_context()) is not None:
        headers["traceparent"] = trace.child().traceparent
        if trace.tracestate:
            headers["tracestate"] = trace.tracestate
    return headers
