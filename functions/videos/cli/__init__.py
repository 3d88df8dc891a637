"""Command-line tools: ``python -m videos.cli.…``."""
