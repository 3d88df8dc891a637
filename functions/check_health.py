"""GET /health: the status of every dependency, and how the service performs."""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.steps.check_health import Health, health
from videos.telemetry.logs import logged
from videos.web.api import make_api
from videos.wiring import http_settings, service

app = make_api(http_settings().allowed_origins, http_settings().public_url)


@app.read("/health")
def get_health() -> Response[Health]:
    report = health(service())
    status = HTTPStatus.OK if report.status == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(status, content_types.APPLICATION_JSON, report)


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
