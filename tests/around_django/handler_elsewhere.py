"""Another URLconf, which a middleware chooses: sync and async views are swapped."""

from typing import Any

from django.urls import path

from .handler_pages import ahello, hello

urlpatterns: list[Any] = [path("hello/", ahello), path("ahello/", hello), path("only/", ahello)]
