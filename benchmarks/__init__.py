"""What our middleware costs, compared with others for the same job: ``python -m benchmarks``."""
