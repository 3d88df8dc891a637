"""A Lambda function as Powertools' documentation writes one; ``dev.cold_start`` starts it beside ours.

It answers what our ``GET /videos/{id}/status`` answers, from the same table.
"""

from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from pydantic import BaseModel

logger, tracer, metrics = Logger(), Tracer(), Metrics(namespace="typical")
s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
app = APIGatewayRestResolver()


class Status(BaseModel):
    id: str
    state: str
    progress: int
    updated_at: str


@app.get("/videos/<video_id>/status")
def get_status(video_id: str) -> dict[str, Any]:
    item = dynamodb.get_item(TableName="videos", Key={"id": {"S": video_id}})["Item"]
    fields = {name: item[name] for name in Status.model_fields}
    return Status.model_validate(
        {name: value.get("S") or value["N"] for name, value in fields.items()}
    ).model_dump()


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    answer: dict[str, Any] = app.resolve(event, context)
    return answer
