"""The live view as server-sent events, for browsers that cannot open a WebSocket."""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress

from channels.layers import get_channel_layer
from django.http import HttpRequest, StreamingHttpResponse

from asgi_middleware import get_request_id, get_state

from .access import for_watchers
from .publisher import GROUP, PROCESS

logger = logging.getLogger(__name__)


@for_watchers("GET")
async def live(request: HttpRequest) -> StreamingHttpResponse:  # noqa: ARG001
    """Stream the messages that LiveConsumer sends."""
    hello = {"type": "hello", "process": PROCESS, "request_id": get_request_id()}
    counters = get_state()["live"].counters()

    async def events() -> AsyncGenerator[str]:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        try:
            await layer.group_add(GROUP, channel)
            yield f"data: {json.dumps(hello)}\n\ndata: {json.dumps(counters)}\n\n"
            while True:
                message = await layer.receive(channel)
                yield f"data: {message['text']}\n\n"
        except Exception as error:  # noqa: BLE001 -- whatever the channel layer raises
            # The stream ends. The page shows that it is not connected, and reconnects.
            logger.warning("a live view ended early: %r", error)
        finally:
            with suppress(Exception):
                await layer.group_discard(GROUP, channel)

    # Proxies should pass on each event at once. nginx reads the second header.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingHttpResponse(events(), content_type="text/event-stream", headers=headers)
