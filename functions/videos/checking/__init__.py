"""Check a file: ffprobe measures it, the rules judge it, the advice says how to repair it."""
