"""The limit of apps/limits.py, which tests cannot import because it sets up Django."""

MAX_BODY_SIZE = 100_000
