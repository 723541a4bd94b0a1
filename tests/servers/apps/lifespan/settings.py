"""Settings with which Django refuses probes, because probes have no known host and no TLS."""

ALLOWED_HOSTS = ["app.example"]
# The headers without which Django refuses a request before its view.
HEADERS = {"host": "app.example", "x-forwarded-proto": "https"}

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "tests.servers.apps.lifespan.urls"
SECRET_KEY = "for tests"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
USE_TZ = True

# The response of a view, larger than the buffers on the way. It is here because tests import it.
# They cannot import urls.py, which would connect signals in their process.
BODY = "whole " * 100_000
