"""The load test of an endpoint: a closed-loop sweep over concurrency, and what it tells."""
