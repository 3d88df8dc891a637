"""What an operator got wrong: a sentence on standard error and exit status 2, never a traceback."""

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from videos import __version__
from videos.errors import VideoError

EXIT_STATUS = 2  # also argparse's
MAX_PORT = 65535


class Parser(argparse.ArgumentParser):
    """A parser with ``--version``, which reports a wrong argument in one sentence, without the usage."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description)
        self.add_argument("--version", action="version", version=f"TikToken {__version__}")

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_STATUS, f"{self.prog}: {message}; see --help.\n")


def port(text: str) -> int:
    """The ``type`` of an argument that is a port."""
    if not (re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {MAX_PORT}, not {text[:20]!r}")
    return int(text)


def public_url(text: str) -> str:
    """The ``type`` of an argument that is the URL clients use; it may have a path."""
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an impossible port, or half an IPv6 address
        is_valid = False
    if not is_valid or re.search(r"[\s?#@]", text):
        raise argparse.ArgumentTypeError(f"a URL is such as http://192.168.1.5:8000, not {text[:100]!r}")
    return text.rstrip("/")


@contextmanager
def told() -> Iterator[None]:
    """End the process with the sentence of a VideoError, or of a SystemExit that has one."""
    try:
        yield
    except VideoError as error:
        sentence = " ".join([str(error), *error.suggestions])
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        sentence = error.code
    else:
        return
    print(sentence, file=sys.stderr)
    raise SystemExit(EXIT_STATUS)


@contextmanager
def data_folder(folder: Path) -> Iterator[None]:
    """Raises SystemExit if the body cannot use ``folder`` to keep its data."""
    try:
        yield
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
    except VideoError as error:
        reason = f"{str(error)[:1].lower()}{str(error)[1:]}".removesuffix(".")
    else:
        return
    raise SystemExit(f"Cannot keep data in {folder}: {reason}.")
