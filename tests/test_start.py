"""What a function loads and creates while it starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parent.parent / "functions"
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "tiktoken-ReadVideo",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "MEDIA_BUCKET": "media",
    "VIDEO_TABLE": "videos",
    "JOB_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs",
}


def started(module: str, told: str, **settings: str):
    """What ``told`` is in a new process that has imported a handler."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import gc, json, sys, {module}; print(json.dumps({told}))"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(FUNCTIONS), **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


@pytest.mark.parametrize("module", ["request_upload", "read_video", "recover_videos", "check_health"])
def test_what_only_files_and_tokens_need_is_not_loaded(module):
    heavy = ("jwt", "cryptography", "multipart", "ffmpeg", "magic", "blurhash", "videos.making.outputs")

    assert started(module, f"[name for name in {heavy} if name in sys.modules]", STORAGE_MODE="local") == []


def test_on_lambda_the_service_is_there_before_the_first_event():
    told = "[wiring.service.cache_info().currsize, gc.isenabled(), gc.get_freeze_count() > 0]"

    assert started("read_video, videos.wiring as wiring", told, **LAMBDA) == [1, True, True]


def test_elsewhere_it_is_created_on_first_use():
    told = "[wiring.service.cache_info().currsize, 'boto3' in sys.modules]"

    assert started("read_video, videos.wiring as wiring", told) == [0, False]
