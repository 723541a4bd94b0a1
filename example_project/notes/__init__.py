"""Notes: a small app, as you would write one yourself."""
