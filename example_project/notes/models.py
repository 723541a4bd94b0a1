"""What the app stores."""

from typing import ClassVar

from django.db import models


class Note(models.Model):
    """A line that a visitor left."""

    text = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.text
