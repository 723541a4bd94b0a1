"""A sync view that uses the ORM, and an async view that uses what startup opened."""

from typing import Any

from django import get_version
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from asgi_middleware import get_request_id, get_state, measure

from .jobs import forget_old_notes
from .models import Note

LATEST = 10

NoteForm = modelform_factory(Note, fields=["text"])


@require_http_methods(["GET", "POST"])
def notes(request: HttpRequest) -> HttpResponse:
    """Show the latest notes and a form, or save a note from that form."""
    form = NoteForm(request.POST or None)
    if request.method == "POST":
        with measure("validate"):
            valid = form.is_valid()
        if valid:
            with measure("save"):
                form.save()
            if tasks := _state().get("tasks"):
                tasks.spawn(forget_old_notes)
            return redirect("notes:notes")
    with measure("notes", "the latest ones"):
        latest = list(Note.objects.all()[:LATEST])
    context = {"notes": latest, "form": form, "request_id": get_request_id()}
    with measure("render"):
        return render(request, "notes/notes.html", context, status=400 if form.is_bound else 200)


@require_GET
async def status(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 -- every view takes it
    """Return the time of the startup, and the ticks since then. lifespan.py yields both."""
    state = _state()
    started_at, ticker = state.get("started_at"), state.get("ticker")
    return JsonResponse(
        {
            "django": get_version(),
            "request_id": get_request_id(),
            "started_at": started_at,
            "seconds": (timezone.now() - started_at).total_seconds() if started_at else None,
            "ticks": ticker.count if ticker else None,
        }
    )


def _state() -> dict[str, Any]:
    """Return what startup opened. Under WSGI there is no startup, so it is empty."""
    try:
        return get_state()
    except LookupError:
        return {}
