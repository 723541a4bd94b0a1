from django.urls import path

from . import views

app_name = "scenarios"

urlpatterns = [
    path("allowed/", views.allowed, name="allowed"),
    path("allowed/<uuid:new>/", views.allowed),
    path("cookie/", views.cookie, name="cookie"),
    path("slow/", views.slow, name="slow"),
    path("stream/", views.stream, name="stream"),
    path("blocking/", views.blocking, name="blocking"),
    path("burst/", views.burst, name="burst"),
    path("job/", views.job, name="job"),
    path("drain/", views.drain, name="drain"),
    path("stranger/", views.stranger, name="stranger"),
]
