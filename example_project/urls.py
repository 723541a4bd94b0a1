"""The URLs of the project. WebSockets have theirs in ``routing.py``."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from .metrics import metrics

urlpatterns = [
    path("", include("example_project.inspector.urls")),
    path("", RedirectView.as_view(pattern_name="notes:notes")),
    path("", include("example_project.notes.urls")),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    # Without a trailing slash, as Prometheus requests it.
    path("metrics", metrics, name="metrics"),
]
