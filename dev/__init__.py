"""Programs that developers run: demo, benchmark, load test, emulator, bill of materials."""
