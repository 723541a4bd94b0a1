"""The paths of the project; WebSockets have theirs in ``showcase/routing.py``."""

from django.urls import include, path

urlpatterns = [
    path("", include("example_project.showcase.urls")),
]
