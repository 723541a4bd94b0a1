"""The live view: the page shows requests, WebSockets and log lines that pass through the stack.

``SentHeadersMiddleware`` (``sent.py``) records the headers that a client got. ``Feed``
(``feed.py``) is an observer with a bounded queue. ``events.py`` decides what leaves the process.
``Publisher`` (``publisher.py``) sends that to everybody who is watching: over a WebSocket
(``consumers.py``) or, where WebSockets do not work, as a stream (``views.py``).
"""
