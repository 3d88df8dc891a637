"""The MP4 format: parse boxes, check the structure of uploads, write our own files."""
