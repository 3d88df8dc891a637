"""GET /health: is every part there, and how is it doing?"""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.api import make_api
from videos.health import health
from videos.logs import logged
from videos.wiring import http_settings, service

app = make_api(http_settings().allowed_origins)


@app.get("/health")
def check_health() -> Response[Any]:
    report = health(service())
    status = HTTPStatus.OK if report["status"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(status, content_types.APPLICATION_JSON, report, headers={"Cache-Control": "no-store"})


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
