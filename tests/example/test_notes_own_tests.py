"""The notes app's own tests, which ``manage.py test example_project`` also runs."""

from typing import Any

import pytest
from django.utils.module_loading import import_string

pytestmark = pytest.mark.usefixtures("_database")

Page: Any = import_string("example_project.notes.tests.Page")
Site: Any = import_string("example_project.notes.tests.Site")
