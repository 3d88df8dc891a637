"""S3 notifications, SQS and EventBridge: threads that call the handlers of events.

What they take stays in its queue until it is done, so nothing is lost when they are killed.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from local_aws.events import invoke, s3_event, scheduled_event, sqs_event
from videos.errors import Unavailable
from videos.local import FolderStorage, SqliteJobs
from videos.logs import logger as log
from videos.ports import Job

TIMEOUT_S = 900
CHECKS = 2  # uploads checked at a time
LONGEST_PAUSE_S = 60
RECOVER_EVERY_S = 60
POLL_S = 1.0  # how late a delayed job may be; new ones ring
GRACE_S = 3  # for what is running when we are asked to stop


class Workers:
    """Threads that call the handlers of events. What they take stays in its queue until it is done."""

    def __init__(
        self,
        storage: FolderStorage,
        jobs: SqliteJobs,
        *,
        transcodes: int,
        set_aside: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._set_aside = set_aside
        self._storage = storage
        self._jobs = jobs
        self._uploads = jobs.beside("notifications")  # of keys, where the other is of video ids
        self._bell = threading.Condition()
        self._rings = 0
        self._stopping = threading.Event()
        check = partial(self._work_off, self._uploads, "check_upload", self._upload_event)
        loops: list[Callable[[], None]] = [self._recover, *[check] * CHECKS, *[self._transcode] * transcodes]
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]

    def start(self) -> None:
        for queue in (self._uploads, self._jobs):
            queue.release_all()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more, and give what is running a few seconds; what is not done by then has not failed."""
        self._stopping.set()
        self.ring()
        deadline = time.monotonic() + GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._uploads.release_all(counted=False)
        for video_id in self._jobs.release_all(counted=False):
            self._set_aside(video_id)

    def notify(self, key: str) -> None:
        """An object was stored: once this returns it will be checked, even if we are killed."""
        self._uploads.put(key)
        self.ring()

    def ring(self) -> None:
        """There may be something to do."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def _transcode(self) -> None:
        if sys.platform == "linux":  # a thread's own there, and its ffmpeg's: answers come first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        self._work_off(self._jobs, "transcode_video", sqs_event)

    def _work_off(self, queue: SqliteJobs, function: str, event_of: Callable[[Job], dict[str, Any]]) -> None:
        while not self._stopping.is_set():
            heard = self._rings
            log.thread_safe_clear_keys()  # of the last invocation
            try:
                job = queue.receive()
                if job is None:
                    self._wait(heard)
                else:
                    self._deliver(queue, function, event_of(job), job)
            except Unavailable:
                log.exception("The queue of %s does not answer.", function)
                self._stopping.wait(POLL_S)

    def _deliver(self, queue: SqliteJobs, function: str, event: dict[str, Any], job: Job) -> None:
        try:
            reply = invoke(function, event, TIMEOUT_S)
        except Exception:
            log.exception("%s broke; it gets the event again.", function)
            queue.give_back(job, delay_s=min(2 ** (job.receives - 1), LONGEST_PAUSE_S))
        else:
            if not (reply and reply["batchItemFailures"]):  # those the handler has given back itself
                queue.done(job)
        finally:
            self.ring()  # it may have put a job

    def _wait(self, heard: int) -> None:
        with self._bell:
            self._bell.wait_for(lambda: self._rings != heard, POLL_S)

    def _upload_event(self, upload: Job) -> dict[str, Any]:
        key = upload.video_id
        try:
            stored = self._storage.stat(key)
        except FileNotFoundError:  # deleted meanwhile; S3 would not know either
            return s3_event(key, size_bytes=0, etag="")
        return s3_event(key, size_bytes=stored.size_bytes, etag=stored.etag)

    def _recover(self) -> None:
        while not self._stopping.is_set():
            try:
                invoke("recover_videos", scheduled_event(), TIMEOUT_S)
            except Exception:
                log.exception("recover_videos broke.")
            self.ring()
            self._stopping.wait(RECOVER_EVERY_S)
