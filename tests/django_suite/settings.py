"""Settings for Django's ``runtests.py``: Django's own test settings, and our test runner."""

DATABASES = {alias: {"ENGINE": "django.db.backends.sqlite3"} for alias in ("default", "other")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET_KEY = "for tests"
TEST_RUNNER = "tests.django_suite.runner.Runner"
USE_TZ = False
