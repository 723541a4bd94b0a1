"""Settings under which Django refuses what probes send: no known host, and no TLS."""

ALLOWED_HOSTS = ["app.example"]
# What a client has to send to be answered by a view.
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

# Of a view, and here because tests read it: urls.py connects signals, which it must not do
# in the process of the tests. More than fits into the buffers on the way.
BODY = "whole " * 100_000
