"""S3 ObjectCreated under uploads/: reject the file, or publish the copy that plays and queue the rest."""

from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.errors import UnknownVideo
from videos.keys import INBOX
from videos.steps.check_upload import check_upload
from videos.steps.read_video import parse_id
from videos.telemetry.logs import CHECK_FAILED, about, logged, logger
from videos.wiring import service


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Check the file of every record in the event.

    Raises:
        VideoError: a check failed. Lambda redelivers the whole event; checks are idempotent.
    """
    failed = None
    for record in event.get("Records", ()):  # S3's test event has none
        key = unquote_plus(record["s3"]["object"]["key"])  # S3 URL-encodes keys
        video_id = key.removeprefix(INBOX)
        about(video_id)
        try:
            video = check_upload(parse_id(video_id), service())
        except (UnknownVideo, FileNotFoundError) as error:  # deleted meanwhile: do not retry
            logger.info("nothing to check", reason=str(error))
        except Exception as error:
            logger.exception(CHECK_FAILED)
            failed = error
        else:
            broken_rules = [violation.rule for violation in video.problems]
            logger.info("checked", state=video.state, playable=video.playable, broken_rules=broken_rules)
    if failed:
        raise failed
