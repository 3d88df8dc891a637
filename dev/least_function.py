"""boto3 with a client of DynamoDB, and Powertools' resolver: what no function of ours can start without.

``dev.cold_start`` starts it from the folder of a built function, so with what the build leaves of them.
"""

from typing import Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver

dynamodb = boto3.client("dynamodb")
app = APIGatewayRestResolver()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001  Lambda's arguments
    return {"statusCode": 200}
