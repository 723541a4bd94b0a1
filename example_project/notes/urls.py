"""The pages of the app."""

from django.urls import path

from . import views

app_name = "notes"

urlpatterns = [
    path("notes/", views.notes, name="notes"),
    path("notes/stream/", views.stream, name="stream"),
    path("status/", views.status, name="status"),
]
