"""The pages of the inspector."""

from django.urls import include, path

from . import views
from .live.views import live

app_name = "inspector"

urlpatterns = [
    path("", views.home, name="home"),
    path("live/", live, name="live"),
    path("scenarios/", include("example_project.inspector.scenarios.urls")),
    path("uploads/", views.uploads, name="uploads"),
    path("ticks/", views.ticks, name="ticks"),
    path("outgoing/", views.outgoing, name="outgoing"),
    path("fail/", views.fail, name="fail"),
    path("late/", views.late, name="late"),
]
