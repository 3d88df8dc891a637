"""What failed for good, with its reason, and back to work with it: ``python -m videos.redrive``.

``--list`` only looks. Works on what the environment says, as the functions do: see ``wiring``.
"""

import argparse
import sys
from collections.abc import Iterator

from videos import steps, wiring
from videos.errors import Unavailable, UnknownVideo
from videos.model import State
from videos.service import Service

MOST_SHOWN = 1000


def reasons(service: Service) -> Iterator[str]:
    """A line for each dead letter."""
    for video_id in service.jobs.dead(limit=MOST_SHOWN):
        try:
            video = service.videos.get(video_id)
        except UnknownVideo:
            yield f"{video_id[:100]!a}: deleted, or no job of ours"
        else:
            failed = video.state is State.FAILED
            yield f"{video.id}: {video.state}{f': {video.failure}' if failed else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m videos.redrive",
        description="List what failed for good, with the reason, and send it back to work.",
    )
    parser.add_argument("--list", action="store_true", help="only look")
    only_look = parser.parse_args().list
    service = wiring.service()
    try:
        for line in dict.fromkeys(reasons(service)):
            print(line)
        if not only_look:
            print(f"Sent back to work: {steps.redrive(service)}")
    except Unavailable as error:
        parser.exit(1, f"{error} {' '.join(error.suggestions)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
