"""The table's stream: count what happened to videos, and tell whoever wants to know."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.steps.publish_changes import publish_changes
from videos.telemetry.logs import logged
from videos.wiring import service


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Publish the changes among the records.

    Raises:
        VideoError: it must be delivered again, whole or in parts. Nothing is counted twice, but events may be
            told twice, with the same ids.
    """
    changes = map(service().videos.change_of, event["Records"])
    publish_changes([change for change in changes if change], service())
