"""The scenarios: one list, played by the page, by ``manage.py scenarios``, and by the tests.

``table.py`` is the list. ``views.py`` responds to the requests. ``player.py`` sends them and
reports what it observes; in a browser, ``static/inspector/scenarios.js`` does that.
"""
