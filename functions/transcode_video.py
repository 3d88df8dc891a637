"""SQS jobs: look after a video, which is mostly to transcode it."""

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.errors import UnknownVideo
from videos.policy import pause_s
from videos.ports import Job
from videos.steps.transcode_video import transcode_video
from videos.telemetry.logs import MALFORMED_JOB, TRANSCODE_FAILED, about, logged, logger
from videos.wiring import service


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Process every message. Returns the failed ones, which are redelivered with exponential backoff."""
    failures = [record["messageId"] for record in event["Records"] if not _transcode_one(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def _transcode_one(record: dict[str, Any]) -> bool:
    about(None)
    try:
        job = Job(
            video_id=json.loads(record["body"])["video_id"],
            receipt=record["receiptHandle"],
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
        )
    except (KeyError, TypeError, ValueError):
        logger.exception(MALFORMED_JOB, body=record.get("body"))  # ends in the dead-letter queue
        return False
    about(str(job.video_id))
    try:
        video = transcode_video(
            job.video_id,
            service(),
            first_try=job.receives == 1,
        )
    except (UnknownVideo, FileNotFoundError) as error:
        logger.info("nothing to do", reason=str(error))
    except Exception:
        logger.exception(TRANSCODE_FAILED, receives=job.receives)
        service().jobs.give_back(job, delay_s=pause_s(job.receives))
        return False
    else:
        logger.info("transcoded", state=video.state, failure=video.failure)
    return True
