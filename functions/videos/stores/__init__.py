"""The ports' adapters: on AWS, and on a folder with SQLite."""
