"""What the middleware cost, beside others that do the same: ``python -m benchmarks``."""
