"""Notes that everybody may write, and that everybody who watches sees at once."""
