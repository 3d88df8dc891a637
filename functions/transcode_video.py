"""SQS transcode jobs: playable first, then the ladder. Only failed messages come back."""

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.errors import UnknownVideo
from videos.logs import about, logged, logger
from videos.ports import Job
from videos.transcode import transcode
from videos.wiring import service

LONGEST_PAUSE_S = 60


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work off every message; name those to deliver again, after a pause that doubles."""
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
        logger.exception("no job of ours", body=record.get("body"))  # it ends among the dead letters
        return False
    about(str(job.video_id))
    try:
        video = transcode(
            job.video_id,
            service(),
            first_try=job.receives == 1,
            last_try=job.receives >= service().most_attempts,
        )
    except UnknownVideo:
        logger.info("nothing to transcode")
    except Exception:
        logger.exception("not transcoded", receives=job.receives)
        service().jobs.give_back(job, delay_s=min(2**job.receives, LONGEST_PAUSE_S))
        return False
    else:
        logger.info("transcoded", state=video.state, failure=video.failure)
    return True
