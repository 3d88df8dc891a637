"""S3 ObjectCreated under uploads/: probe the file, then queue it or reject it."""

from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.typing import LambdaContext

from videos import steps
from videos.errors import UnknownVideo
from videos.logs import about, logged, logger
from videos.wiring import service


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Check the file of every record.

    Raises:
        VideoError: one could not be checked now; Lambda delivers the whole event again,
            which is safe for the others.
    """
    failed = None
    for record in event.get("Records", ()):  # S3's own test event has none
        key = unquote_plus(record["s3"]["object"]["key"])  # S3 sends keys URL-encoded
        video_id = key.removeprefix("uploads/")
        about(video_id)
        try:
            video = steps.check_upload(steps.known_id(video_id), service())
        except (
            UnknownVideo,
            FileNotFoundError,
        ) as error:  # deleted meanwhile: nothing to do, and no repeat helps
            logger.info("nothing to check", reason=str(error))
        except Exception as error:
            logger.exception("not checked")
            failed = error
        else:
            rules = [problem.rule for problem in video.problems]
            logger.info("checked", state=video.state, broken_rules=rules)
    if failed:
        raise failed
