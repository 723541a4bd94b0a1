"""Views of both colours: sync ones with the ORM, an async one that reads the state."""

from django import get_version
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from asgi_middleware import get_request_id, measure

from .models import Note

LATEST = 10

NoteForm = modelform_factory(Note, fields=["text"])


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The page."""
    with measure("notes", "the latest ones"):
        latest = list(Note.objects.all()[:LATEST])
    context = {"notes": latest, "form": NoteForm(), "request_id": get_request_id()}
    with measure("render"):
        return render(request, "showcase/home.html", context)


@require_http_methods(["GET", "POST"])
def notes(request: HttpRequest) -> HttpResponse:
    """The latest notes as JSON; or one more, from the form on the page."""
    if request.method == "POST":
        form = NoteForm(request.POST)
        with measure("validate"):
            valid = form.is_valid()
        if not valid:
            return HttpResponseBadRequest("A note is a line of 1 to 200 characters.\n")
        with measure("save"):
            form.save()
        return redirect("showcase:home")
    latest = Note.objects.values("text", "created_at")[:LATEST]
    return JsonResponse({"notes": list(latest)})


@require_GET
async def status(request: HttpRequest) -> JsonResponse:
    """Since when this process serves, as the lifespan context noted it."""
    # Under WSGI there is no scope, and nobody to fill the state.
    state = getattr(request, "scope", {}).get("state", {})
    started_at = state.get("started_at")
    return JsonResponse(
        {
            "django": get_version(),
            "request_id": get_request_id(),
            "started_at": started_at,
            "seconds": (timezone.now() - started_at).total_seconds() if started_at else None,
        }
    )


@require_GET
def fail(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 -- what every view takes
    """Raise, so that one can see what becomes of it."""
    raise RuntimeError("raised on purpose, by the view /fail/")
