"""The one app of the example: a page, notes, and a WebSocket."""
