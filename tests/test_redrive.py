"""The redrive command lists the dead letters and re-queues them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support import letters
from support.pipeline import checked
from support.samples import an_event
from videos import wiring
from videos.cli import redrive
from videos.model import State
from videos.ports import Letter
from videos.steps.endings import fail
from videos.steps.recover_videos import redrive as redrive_step
from videos.steps.transcode_video import transcode_video
from videos.tools import MediaTools

FUNCTIONS = Path(__file__).parent.parent / "functions"


@pytest.fixture
def failed(service, clip):
    without_ffmpeg = replace(service, tools=MediaTools(ffmpeg="no-such-ffmpeg"), max_failures=1)
    return transcode_video(checked(service, clip()).id, without_ffmpeg)


def test_a_failed_video_is_listed_with_its_failure(service, failed):
    [line] = redrive.reasons(service.jobs, service.videos)

    assert line.startswith(
        f"{failed.id}: failed: The video could not be processed: no-such-ffmpeg cannot be started"
    )


def test_dead_letters_without_a_failed_video_are_listed_too(service, clip):
    completed = transcode_video(checked(service, clip()).id, service)
    for letter in (completed.id, "\x1b[31m" + "x" * 1000):
        service.jobs.bury(letter)

    assert sorted(redrive.reasons(service.jobs, service.videos)) == sorted([
        f"{completed.id}: completed",
        f"'\\x1b[31m{'x' * 95}': deleted, or a malformed job message",
    ])  # fmt: skip


def test_a_malformed_message_does_not_hide_other_dead_letters(moto_rig, fake_aws):
    jobs = moto_rig.jobs
    fake_aws.sqs.send_message(QueueUrl=jobs._dead_letter_url, MessageBody="[]")
    jobs.bury("video-1")

    assert sorted(jobs.dead()) == ["[]", "video-1"]
    assert jobs.redrive() == 2


def test_a_redriven_video_has_no_dead_letter_left(service, failed):
    redrive_step(service)

    assert not list(redrive.reasons(service.jobs, service.videos))
    assert transcode_video(failed.id, service).state is State.COMPLETED


def run(folder: Path, *options: str) -> str:
    env = os.environ | {"STORAGE_MODE": "local", "LOCAL_FOLDER": str(folder), "PYTHONPATH": str(FUNCTIONS)}
    command = [sys.executable, "-m", "videos.cli.redrive", *options]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def test_the_command_lists_and_redrives_in_a_local_folder(tmp_path, clip):
    service = wiring.make_service({"STORAGE_MODE": "local", "LOCAL_FOLDER": str(tmp_path)})
    video = checked(service, clip())
    fail(video, "The disk is full.", service)

    listed = run(tmp_path, "--list")
    assert listed == f"{video.id}: failed: The disk is full.\n"
    assert run(tmp_path) == f"{listed}Re-queued: 1\n"
    assert service.videos.get(video.id).state is State.QUEUED
    assert run(tmp_path) == "Re-queued: 0\n"


def test_dead_webhooks_are_listed_with_their_reason_and_redriven(tmp_path):
    service = wiring.make_service({"STORAGE_MODE": "local", "LOCAL_FOLDER": str(tmp_path)})
    assert service.deliveries
    service.deliveries.bury(Letter(event=an_event("v1", 3), attempts=10, reason="It answered 503."))
    letters.bury_text(service.deliveries, "\x1b[31mno letter")

    stays = "'\\x1b[31mno letter': a malformed webhook message, which stays there\n"
    listed = run(tmp_path, "--list")
    assert listed == f"v1: webhook video.playable (v1-3), 10 attempts: It answered 503.\n{stays}"
    assert run(tmp_path) == f"{listed}Re-queued: 0; webhooks: 1\n"
    assert run(tmp_path) == f"{stays}Re-queued: 0\n"
    delivery = letters.receive(service.deliveries)
    assert delivery
    assert '"attempts":0' in delivery.job.video_id
