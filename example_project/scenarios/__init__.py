"""The scenarios: one list, played by the page, by ``manage.py scenarios``, and by the tests.

``table.py`` is the list. ``views.py`` answers the requests, ``player.py`` makes them and says
what it saw; a browser's part is in ``static/showcase/scenarios.js``.
"""
