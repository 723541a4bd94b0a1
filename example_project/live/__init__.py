"""The live view: what passes through the stack, as it ends, on the page that watches.

``SentHeadersMiddleware`` (``sent.py``) notes what a client got. ``Feed`` (``feed.py``) is an
observer with a bounded queue; ``events.py`` says what leaves the process of a record, and
``Publisher`` (``publisher.py``) sends that to everybody who watches, over a WebSocket
(``consumers.py``) or, where there is none to be had, a stream (``views.py``).
"""
