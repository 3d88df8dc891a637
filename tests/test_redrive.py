"""What failed for good is listed with its reason, and one command sends it back."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from test_steps import checked
from videos import redrive, steps, wiring
from videos.model import State
from videos.tools import MediaTools
from videos.transcode import transcode

FUNCTIONS = Path(__file__).parent.parent / "functions"


@pytest.fixture
def failed(service, clip):
    without_ffmpeg = replace(service, tools=MediaTools(ffmpeg="no-such-ffmpeg"))
    return transcode(checked(service, clip()).id, without_ffmpeg, last_try=True)


def test_what_failed_is_listed_with_its_reason(service, failed):
    [line] = redrive.reasons(service)

    assert line.startswith(
        f"{failed.id}: failed: It could not be processed: no-such-ffmpeg cannot be started"
    )


def test_letters_that_nothing_can_be_done_about_are_listed_too(service, clip):
    completed = transcode(checked(service, clip()).id, service)
    for letter in (completed.id, "\x1b[31m" + "x" * 1000):
        service.jobs.bury(letter)

    assert sorted(redrive.reasons(service)) == sorted([
        f"{completed.id}: completed",
        f"'\\x1b[31m{'x' * 95}': deleted, or no job of ours",
    ])  # fmt: skip


def test_a_message_that_is_no_job_of_ours_hides_no_other_letter(moto_rig, fake_aws):
    jobs = moto_rig.jobs
    fake_aws.sqs.send_message(QueueUrl=jobs._dead_letter_url, MessageBody="[]")
    jobs.bury("video-1")

    assert sorted(jobs.dead()) == ["[]", "video-1"]
    assert jobs.redrive() == 2


def test_what_was_sent_back_meets_its_dead_letter_no_more(service, failed):
    steps.redrive(service)

    assert not list(redrive.reasons(service))
    assert transcode(failed.id, service).state is State.COMPLETED


def run(folder: Path, *options: str) -> str:
    env = os.environ | {"STORAGE_MODE": "local", "LOCAL_FOLDER": str(folder), "PYTHONPATH": str(FUNCTIONS)}
    command = [sys.executable, "-m", "videos.redrive", *options]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def test_the_command_works_on_a_folder(tmp_path, clip):
    service = wiring.make_service({"STORAGE_MODE": "local", "LOCAL_FOLDER": str(tmp_path)})
    video = checked(service, clip())
    steps.fail(video, "The disk is full.", service)

    listed = run(tmp_path, "--list")
    assert listed == f"{video.id}: failed: The disk is full.\n"
    assert run(tmp_path) == f"{listed}Sent back to work: 1\n"
    assert service.videos.get(video.id).state is State.QUEUED
    assert run(tmp_path) == "Sent back to work: 0\n"
