"""A sync view with a form, an async view, and a stream."""

import json
from collections.abc import AsyncGenerator

from channels.layers import get_channel_layer
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from asgi_middleware import get_request_id, get_state, measure

from .forms import NoteForm
from .models import Note
from .tasks import GROUP, start_tasks

LATEST = 10


@require_http_methods(["GET", "POST"])
def notes(request: HttpRequest) -> HttpResponse:
    """Show the latest notes and a form. Save what the form sends."""
    form = NoteForm(request.POST or None)
    if form.is_valid():
        with measure("save"):
            note = form.save()
        start_tasks(note)
        return redirect("notes:notes")
    with measure("notes", "the latest ones"):
        latest = list(Note.objects.all()[:LATEST])
    context = {"notes": latest, "form": form, "request_id": get_request_id()}
    status = 400 if request.method == "POST" else 200
    with measure("render"):
        return render(request, "notes/notes.html", context, status=status)


@require_GET
async def status(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 -- every view takes it
    """Return how long this process has been serving. ``lifespan.py`` recorded the start."""
    try:
        started_at = get_state()["started_at"]
    except LookupError:  # under WSGI, there is no startup
        started_at = None
    return JsonResponse(
        {
            "request_id": get_request_id(),
            "started_at": started_at,
            "seconds": started_at and (timezone.now() - started_at).total_seconds(),
        }
    )


@require_GET
async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Stream each note as it is saved, forever.

    When the process must stop, ``Drain`` sends this view a disconnect, as if the client had left.
    """
    if not isinstance(request, ASGIRequest):
        raise Http404("Under WSGI, an endless stream would hold a worker forever.")

    async def events() -> AsyncGenerator[str]:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        try:
            yield "retry: 1000\n\n"
            while True:
                message = await layer.receive(channel)
                yield f"data: {json.dumps(message['note'])}\n\n"
        finally:
            await layer.group_discard(GROUP, channel)

    # Proxies should pass on each event at once. nginx reads the second header.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingHttpResponse(events(), content_type="text/event-stream", headers=headers)
