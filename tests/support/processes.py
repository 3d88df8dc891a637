"""The processes of this machine, as ps lists them."""

import subprocess
import time
from collections.abc import Callable


def processes() -> dict[int, str]:
    """Id and command line of every process that runs."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,stat=,args="], check=True, capture_output=True, text=True
    )
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return {int(pid): args for pid, stat, args in rows if not stat.startswith("Z")}


def eventually(holds: Callable[[], object], *, within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
