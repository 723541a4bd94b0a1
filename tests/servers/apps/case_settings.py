"""Settings for the tests in case.py. PGHOST and PGUSER say where PostgreSQL is."""

import os

ALLOWED_HOSTS = ["testserver"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "USER": os.environ["PGUSER"],
        "NAME": os.environ["PGDATABASE"],
        "CONN_MAX_AGE": int(os.environ["CONN_MAX_AGE"]),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
ROOT_URLCONF = "tests.servers.apps.case"
SECRET_KEY = "for tests"
USE_TZ = True
