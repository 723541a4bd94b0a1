"""Settings: what is common in ``base``, and a module for each value of DJANGO_ENV."""
