"""The local adapters, on a folder and SQLite: for laptops, and as the tests' stand-in for AWS."""
