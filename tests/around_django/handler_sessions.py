"""A project's own session engine, which queries the database whenever a session is created."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as Database


class SessionStore(Database):
    def __init__(self, session_key: Any = None) -> None:
        super().__init__(session_key)
        User.objects.count()

    @classmethod
    def get_model_class(cls) -> Any:
        return Database.get_model_class()
