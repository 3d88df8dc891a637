"""Observability: logs, metrics (as log lines), counters for /health."""
