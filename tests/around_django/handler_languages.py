"""A URLconf with a language in each path."""

from django.conf.urls.i18n import i18n_patterns
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import get_language, gettext

from .handler_pages import hello


def words(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{get_language()} {gettext('Yes')}")


async def awords(request: HttpRequest) -> HttpResponse:
    return words(request)


urlpatterns = [
    path("hello/", hello),
    *i18n_patterns(path("words/", words), path("awords/", awords)),
]
