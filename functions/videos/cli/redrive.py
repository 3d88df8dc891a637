"""List what is in the dead-letter queues and re-queue it: ``python -m videos.cli.redrive``.

``--list`` only lists them. Configured by the functions' environment variables; see ``wiring``.
"""

import sys
from collections.abc import Iterator

from videos import mistakes, wiring
from videos.errors import UnknownVideo
from videos.model import State
from videos.ports import Deliveries, Jobs, Videos
from videos.steps.recover_videos import redrive

MAX_SHOWN = 1000


def reasons(jobs: Jobs, videos: Videos) -> Iterator[str]:
    """One line per dead letter: the video id and why it failed."""
    for video_id in jobs.dead(limit=MAX_SHOWN):
        try:
            video = videos.get(video_id)
        except UnknownVideo:
            yield f"{video_id[:100]!a}: deleted, or a malformed job message"
        else:
            failed = video.state is State.FAILED
            yield f"{video.id}: {video.state}{f': {video.failure}' if failed else ''}"


def webhook_reasons(deliveries: Deliveries | None) -> Iterator[str]:
    """One line per dead webhook: what was to be told, and why it was not."""
    for letter in deliveries.dead(limit=MAX_SHOWN) if deliveries else ():
        if isinstance(letter, str):
            yield f"{letter[:100]!a}: a malformed webhook message, which stays there"
            continue
        event = letter.event
        tried = f"webhook {event.type} ({event.id}), {letter.attempts} attempts"
        yield f"{event.video_id}: {tried}: {letter.reason}"


def main() -> int:
    with mistakes.told():
        return _main()


def _main() -> int:
    parser = mistakes.Parser(
        prog="python -m videos.cli.redrive",
        description="List failed videos and webhooks with their failures, then re-queue them.",
    )
    parser.add_argument("--list", action="store_true", help="list only, do not re-queue")
    list_only = parser.parse_args().list
    service = wiring.existing_service()
    for line in dict.fromkeys(reasons(service.jobs, service.videos)):
        print(line)
    for line in webhook_reasons(service.deliveries):
        print(line)
    if not list_only:
        webhooks = service.deliveries.redrive() if service.deliveries else 0
        print(f"Re-queued: {redrive(service)}{f'; webhooks: {webhooks}' if webhooks else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
