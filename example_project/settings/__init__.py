"""Settings: one module for each value of DJANGO_ENV, and ``base`` with what they share."""
