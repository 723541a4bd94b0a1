"""What the app of the limits takes. Apart from it, because it sets Django up when imported."""

MAX_BODY_SIZE = 100_000
