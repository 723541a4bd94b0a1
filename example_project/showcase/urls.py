from django.urls import path

from . import views

app_name = "showcase"

urlpatterns = [
    path("", views.home, name="home"),
    path("notes/", views.notes, name="notes"),
    path("uploads/", views.uploads, name="uploads"),
    path("status/", views.status, name="status"),
    path("ticks/", views.ticks, name="ticks"),
    path("outgoing/", views.outgoing, name="outgoing"),
    path("fail/", views.fail, name="fail"),
]
