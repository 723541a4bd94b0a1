"""The example's only app: a page, notes, and a WebSocket."""
