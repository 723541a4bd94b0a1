"""Notes that anybody can write, and that everybody who is watching sees at once."""
