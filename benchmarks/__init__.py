"""What our middleware cost, compared with others that do the same: ``python -m benchmarks``."""
