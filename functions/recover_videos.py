"""Every minute: put a job for every stalled video."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.steps.recover_videos import recover_videos
from videos.telemetry.logs import RECOVERED, logged, logger
from videos.wiring import service


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    for video_id, outcome in recover_videos(service()):
        logger.info(RECOVERED, video_id=video_id, outcome=outcome)
