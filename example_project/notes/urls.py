from django.urls import path

from . import views

app_name = "notes"

urlpatterns = [
    path("notes/", views.notes, name="notes"),
    path("status/", views.status, name="status"),
]
