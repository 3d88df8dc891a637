"""Run ffprobe, ffmpeg and libmagic.

Every command forces the mov demuxer. Otherwise a renamed playlist makes ffprobe open
other files, whatever ``-protocol_whitelist`` allows.
"""

import errno
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from types import ModuleType

from videos.errors import BadMedia, ToolExhausted, ToolFailed

GIB = 1024**3
MAX_FILE_BYTES = GIB  # of any file that a tool writes; uploads and outputs are far smaller
MAX_OPEN_FILES = 64  # a tool needs about ten
SAFE_INPUT = {"f": "mov", "protocol_whitelist": "file,pipe"}


@dataclass(frozen=True, slots=True)
class MediaTools:
    """Paths of the programs; plain names are looked up on PATH."""

    ffmpeg: str = "ffmpeg"
    ffprobe: str = "ffprobe"


def safe_input() -> list[str]:
    return ["-v", "error", *(word for name, value in SAFE_INPUT.items() for word in (f"-{name}", value))]


def sniff(path: Path) -> str:
    """The MIME type of the file by libmagic: ``"video/mp4"``, ``"image/png"``…

    ``"application/octet-stream"`` if libmagic does not recognise it.

    Raises:
        ToolFailed: libmagic or its database is missing.
    """
    magic = _libmagic()
    try:
        return str(magic.from_buffer(_beginning(path), mime=True))
    except magic.MagicException as error:
        raise ToolFailed(f"libmagic: {error}", suggestions=_INSTALL) from None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(65536)


def magic_version() -> str:
    """The version of libmagic, such as ``"5.46"``. Raises ToolFailed, as ``sniff`` does."""
    version = _libmagic().version()
    return f"{version // 100}.{version % 100:02}"


def _libmagic() -> ModuleType:
    try:
        import magic  # deferred: the import loads the library
    except ImportError as error:
        raise ToolFailed(f"libmagic: {error}", suggestions=_INSTALL) from None
    return magic


_INSTALL = ("In Lambda, attach MediaToolsLayer.", "Locally, run `make install`.")
# ffmpeg's exit statuses: 256 - ENOSPC, 256 - ENOMEM, or stopped by a signal.
_SYSTEM_ERRORS = {228: "the disk is full", 255: "interrupted"}
_OUT_OF_MEMORY = 244  # of what we allow
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
# Errors of an ffmpeg that is too old, or built without a feature we need.
_WRONG_BUILD = re.compile(
    "Undefined constant|Option not found|Unknown encoder|No such filter|Bitstream filter not found"
)


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    memory_bytes: int = GIB,
    on_one_processor: bool = False,
    on_line: Callable[[str], None] | None = None,
    on_complaint: Callable[[str], None] | None = None,
) -> str:
    """Run a media tool and return its standard output.

    It gets no input and none of our environment, which holds credentials, and cannot read it from
    /proc either. Its memory, CPU time, files and their size are limited. The tool is killed on
    timeout, or when ``on_line`` raises.

    Args:
        on_one_processor: for ffmpeg's copies. Its threads hand over each packet, and do little else;
            between two processors, that takes twice the CPU: 158 ms instead of 78, of a clip of 60 s.
        on_line: receives each line of standard output as it is printed.
        on_complaint: receives each line of standard error once the tool has ended.

    Raises:
        BadMedia: the tool could not process the file; carries its last error lines.
        ToolExhausted: the tool reached a limit, or crashed; if that happens again, the file is to blame.
        ToolFailed: the tool is missing or was killed; a retry may succeed.
    """
    name = Path(command[0]).name
    # By a pipe only for ``on_line``: ffprobe writes each packet by itself, and would wake us up for each.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if on_line else output,
                stderr=errors,
                env={"LC_ALL": "C"},
                process_group=0,  # a Ctrl-C in the terminal must not reach the tool
            )

        try:
            process = _without_our_environment(start)
        except OSError as error:
            raise ToolFailed(f"{name} cannot be started: {error.strerror}.", suggestions=_INSTALL) from None
        _limit(process.pid, memory_bytes, timeout_s)
        if on_one_processor:
            _keep_on_one_processor(process.pid)
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(timeout_s, stop)
        timer.start()
        try:
            if on_line:
                _tell(process, on_line)
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        output.seek(0)
        printed = output.read().decode(errors="replace")
        if on_complaint:
            errors.seek(0)
            for line in errors:
                on_complaint(line.decode(errors="replace").rstrip())
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4000))
        error_output = errors.read().decode(errors="replace").strip()
    last_errors = " / ".join(error_output.splitlines()[-3:]) or f"exit status {status}"
    if timed_out.is_set():
        raise ToolExhausted(f"{name} did not finish in {timeout_s:g} s.")
    if status < 0 and -status in _FROM_OUTSIDE:
        raise ToolFailed(f"{name} was killed by signal {-status}.")
    if status < 0:
        raise ToolExhausted(f"{name} crashed with signal {-status}.")
    if status == _OUT_OF_MEMORY:
        raise ToolExhausted(f"{name} needs more than {memory_bytes:,} bytes of memory.")
    if status in _SYSTEM_ERRORS:
        raise ToolFailed(f"{name}: {_SYSTEM_ERRORS[status]}.")
    if status > 0 and (missing := _WRONG_BUILD.search(error_output)):
        raise ToolFailed(f"{name} lacks a feature ({missing[0]}): {last_errors}", suggestions=_INSTALL)
    if status > 0:
        raise BadMedia(f"{name}: {last_errors}")
    return printed


def _tell(process: subprocess.Popen[bytes], on_line: Callable[[str], None]) -> None:
    assert process.stdout
    with process.stdout as stdout:
        for line in stdout:
            on_line(line.decode(errors="replace").strip())


def _limit(pid: int, memory_bytes: int, timeout_s: float) -> None:
    """Limit what a child may take (Linux only); it may have exited already.

    The CPU time ends a child that outlives us; otherwise ``timeout_s`` comes first.
    """
    limits = {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CPU": ceil(timeout_s * (os.cpu_count() or 1)) + 1,  # all its threads together
        "RLIMIT_FSIZE": MAX_FILE_BYTES,
        "RLIMIT_NOFILE": MAX_OPEN_FILES,
    }
    for name, limit in limits.items() if hasattr(resource, "prlimit") else ():
        try:
            resource.prlimit(pid, getattr(resource, name), (limit, limit))
        except ProcessLookupError:
            return
        except (OSError, ValueError) as error:  # ValueError: above the hard limit that we have ourselves
            _warn_once(f"no {name} for media tools: {error}")


def _keep_on_one_processor(pid: int) -> None:
    """Keep a child on the processor that we are on (Linux only): we leave it while we wait."""
    if sys.platform != "linux":
        return
    import ctypes  # deferred: most functions start no tool

    with suppress(OSError, ValueError):  # it has exited already, or a sandbox does not let us
        os.sched_setaffinity(pid, {ctypes.CDLL(None).sched_getcpu()})


# <linux/prctl.h> and <linux/capability.h>
PR_SET_DUMPABLE, PR_CAPBSET_DROP = 4, 24
READING_CAPABILITIES = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38}


def _without_our_environment(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Start a child that cannot read /proc/<our id>/environ (Linux only).

    Once we are not dumpable, that takes a capability. Root's children have them all, so as root
    the child is started by a thread that gives them up: they belong to a thread, not a process.
    """
    if sys.platform != "linux":
        return start()
    _prctl("PR_SET_DUMPABLE", PR_SET_DUMPABLE, 0)
    if os.geteuid() != 0:
        return start()
    with ThreadPoolExecutor(1, initializer=_drop_capabilities) as thread:
        return thread.submit(start).result()


def _drop_capabilities() -> None:
    for name, number in READING_CAPABILITIES.items():
        _prctl(name, PR_CAPBSET_DROP, number)


def _prctl(name: str, option: int, argument: int) -> None:
    import ctypes  # deferred: most functions start no tool

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0 and ctypes.get_errno() != errno.EINVAL:  # an older kernel
        _warn_once(f"no {name}: {os.strerror(ctypes.get_errno())}")


@cache
def _warn_once(message: str) -> None:
    """Log something that a sandbox such as Lambda's refuses, and that only makes us less strict."""
    logging.getLogger(__name__).warning("media tools are less isolated: %s", message)
