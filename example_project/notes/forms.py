"""The form of the page. The consumer also uses it, to check what a WebSocket sends."""

from typing import ClassVar

from django import forms

from .models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields: ClassVar = ["text"]
