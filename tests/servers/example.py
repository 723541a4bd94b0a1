"""The command that serves the example project on uvicorn."""

from .server import command

UVICORN = command("uvicorn", "example_project.asgi:application", "--lifespan", "on")
