#!/usr/bin/env python
"""Django's command line, with the settings that DJANGO_ENV chooses."""

import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from environs import EnvError

from example_project.settings import choose_settings


def main() -> None:
    try:
        choose_settings()
        execute_from_command_line(sys.argv)
    except (EnvError, ImproperlyConfigured) as error:
        # The message says what to do. A traceback would bury it.
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
