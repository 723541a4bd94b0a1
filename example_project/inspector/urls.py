from django.urls import path

from . import views

app_name = "inspector"

urlpatterns = [
    path("", views.home, name="home"),
    path("uploads/", views.uploads, name="uploads"),
    path("ticks/", views.ticks, name="ticks"),
    path("outgoing/", views.outgoing, name="outgoing"),
    path("fail/", views.fail, name="fail"),
]
