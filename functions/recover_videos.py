"""Every minute: nothing stays stuck. Expire, repeat or fail the videos that have gone silent."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from videos import steps
from videos.logs import logged, logger
from videos.wiring import service


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    for video_id, outcome in steps.recover_videos(service()):
        logger.info("looked after", video_id=video_id, outcome=outcome)
