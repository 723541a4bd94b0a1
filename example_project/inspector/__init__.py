"""The inspector: a page that shows live what passes through the stack, and plays scenarios."""
