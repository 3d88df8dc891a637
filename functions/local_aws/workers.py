"""S3 notifications, SQS, the table's stream and EventBridge: threads that invoke the event handlers.

A message stays in its queue until it has been handled, so nothing is lost if the process is killed.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from local_aws.events import invoke, s3_event, scheduled_event, sqs_event, stream_event, webhook_event
from videos.errors import Unavailable
from videos.keys import INBOX
from videos.policy import RECOVER_EVERY_S, VISIBILITY_S, pause_s
from videos.ports import Change, Job
from videos.stores.local.folder import FolderStorage
from videos.stores.local.jobs import SqliteJobs
from videos.stores.local.records import SqliteVideos
from videos.telemetry.logs import logger as log

MAX_CHECKS = 2  # at a time
MAX_WEBHOOKS = 8  # at a time; each may wait for its answer as long as CALL_TIMEOUT_S
ENCODE_NICENESS = 19  # of transcodes and their media tools: checks and answers come first
POLL_S = 1.0  # a delayed job may be this late, and a count; a new job rings
MAX_CHANGES = 100  # in one event, as on AWS
GRACE_S = 3  # for running handlers to finish when the server is asked to stop


class Workers:
    """Threads that invoke the event handlers.

    ``webhooks`` is their queue, if anybody receives them. ``interrupted`` gets the id of each video whose
    check or transcode ended with this process or the one before, and whether it was the only one.
    ``published`` gets the changes that were published.
    """

    def __init__(
        self,
        storage: FolderStorage,
        videos: SqliteVideos,
        jobs: SqliteJobs,
        *,
        transcodes: int,
        webhooks: SqliteJobs | None = None,
        interrupted: Callable[..., None] = lambda video_id, *, alone: None,  # noqa: ARG005
        published: Callable[[Sequence[Change]], None] = lambda changes: None,  # noqa: ARG005
    ) -> None:
        self._interrupted = interrupted
        self._published = published
        self._storage = storage
        self._videos = videos
        self._jobs = jobs
        self._uploads = jobs.beside("notifications")  # its jobs carry storage keys, not video ids
        self._webhooks = webhooks
        self._bell = threading.Condition()
        self._rings = 0
        self._stopping = threading.Event()
        check = partial(self._consume, self._uploads, "check_upload", self._upload_event)
        loops: list[Callable[[], None]] = [
            self._recover,
            self._publish,
            *[check] * MAX_CHECKS,
            *[self._transcode] * transcodes,
        ]
        if webhooks:
            loops += [partial(self._consume, webhooks, "deliver_webhook", webhook_event)] * MAX_WEBHOOKS
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]

    def start(self) -> None:
        held = self._release_all()
        for video_id in held:
            self._interrupted(video_id, alone=len(held) == 1)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more messages, and wait GRACE_S for running handlers.

        Unfinished messages go back to their queues; the interruption does not count as a try.
        """
        self._stopping.set()
        self.ring()
        deadline = time.monotonic() + GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for video_id in self._release_all():
            self._interrupted(video_id, alone=False)

    def _release_all(self) -> list[str]:
        """Put back what was being handled; returns the ids of its videos."""
        if self._webhooks:
            self._webhooks.release_all()
        uploads = [key.removeprefix(INBOX) for key in self._uploads.release_all()]
        return [*uploads, *self._jobs.release_all()]

    def notify(self, key: str) -> None:
        """An object was stored. Once this returns it will be checked, even if the process is killed."""
        self._uploads.put(key)
        self.ring()

    def ring(self) -> None:
        """Wake the threads: there may be a message."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def _transcode(self) -> None:
        # On Linux this applies to the thread and to the ffmpeg it starts.
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ENCODE_NICENESS)
        self._consume(self._jobs, "transcode_video", sqs_event)

    def _consume(self, queue: SqliteJobs, function: str, event_of: Callable[[Job], dict[str, Any]]) -> None:
        while not self._stopping.is_set():
            rings = self._rings
            log.thread_safe_clear_keys()  # set by the last invocation
            try:
                job = queue.receive()
                if job is None:
                    self._wait(rings)
                else:
                    self._deliver(queue, function, event_of(job), job)
            except Unavailable:
                log.exception("The queue of %s is unavailable.", function)
                self._stopping.wait(POLL_S)

    def _deliver(self, queue: SqliteJobs, function: str, event: dict[str, Any], job: Job) -> None:
        try:
            reply = invoke(function, event, VISIBILITY_S)
        except Exception:
            log.exception("%s failed; the event is re-queued.", function)
            queue.give_back(job, delay_s=pause_s(job.receives))
        else:
            if not (reply and reply["batchItemFailures"]):  # the handler has put failed ones back itself
                queue.done(job)
        finally:
            self.ring()  # the handler may have put a job

    def _wait(self, rings: int) -> None:
        with self._bell:
            self._bell.wait_for(lambda: self._rings != rings, POLL_S)

    def _upload_event(self, upload: Job) -> dict[str, Any]:
        key = upload.video_id
        try:
            stored = self._storage.stat(key)
        except FileNotFoundError:  # deleted meanwhile; S3 would still send the event
            return s3_event(key, size_bytes=0, etag="")
        return s3_event(key, size_bytes=stored.size_bytes, etag=stored.etag)

    def _recover(self) -> None:
        while not self._stopping.is_set():
            try:
                invoke("recover_videos", scheduled_event(), VISIBILITY_S)
            except Exception:
                log.exception("recover_videos failed.")
            self.ring()
            self._stopping.wait(RECOVER_EVERY_S)

    def _publish(self) -> None:
        """Deliver the outbox in order. What was not handled is delivered again, and holds up what follows."""
        while not self._stopping.is_set():
            rings = self._rings
            log.thread_safe_clear_keys()
            try:
                if records := self._videos.outbox(limit=MAX_CHANGES):
                    invoke("publish_changes", stream_event(records), VISIBILITY_S)
                    self._videos.delivered(records)
                    self.ring()  # it may have put a webhook
                    self._published([change for one in records if (change := self._videos.change_of(one))])
                else:
                    self._wait(rings)
            except Exception:
                log.exception("publish_changes failed; its changes are delivered again.")
                self._stopping.wait(POLL_S)
