"""Metrics, as log lines in CloudWatch's embedded metric format.

Powertools builds the document and the Logger writes it, so every metric line also has the video id, the
request and the trace, and local mode logs the same lines. Ids are never dimensions: CloudWatch bills each
combination of dimensions as a metric.

    uploads_requested   a ticket was issued, or a form upload received
    accepted, rejected  the check finished; ``rejected`` is also counted by broken ``rule``
    to_playable_ms      from the stored upload to the first playable output
    fixed, to_fixed_ms  the same of a clip that was fixed, which takes longer
    to_completed_ms     from the stored upload to the last output
    completed, deleted  every output was published; the video was deleted by its app
    retried             a transcode was attempted again
    failed, expired     processing failed for good; nothing was uploaded in time
    recovered           a stalled video was re-queued or checked again
    webhooks_delivered  an attempt at a webhook succeeded
    webhooks_failed     it failed, and is repeated unless it was the last
    webhooks_gone       it was answered 410, and is not repeated
    to_delivered_ms     from the change to the delivery of its webhook
    stuck               recovering a stalled video failed
"""

import logging
from datetime import datetime
from itertools import groupby

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from videos.telemetry.counters import MetricValues
from videos.telemetry.logs import METRICS, logger

NAMESPACE = "TikToken"

# At INFO whatever POWERTOOLS_LOG_LEVEL says: the alarms need these lines.
_lines = logging.getLogger(f"{logger.name}.metrics")
_lines.setLevel(logging.INFO)


def emit(values: MetricValues, at: datetime | None = None) -> None:
    """Log metrics; a name that ends in ``_ms`` is a duration, any other a count.

    ``rejected:resolution`` is ``rejected`` with the dimension ``rule`` = ``resolution``.

    Args:
        at: when it happened, if that is not now.
    """
    for rule, group in groupby(values.items(), key=lambda item: item[0].partition(":")[2]):
        named = {name.partition(":")[0]: value for name, value in group}
        emf = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service=logger.get_current_keys()["service"])
        if at:
            emf.set_timestamp(at)
        for name, value in named.items():
            emf.add_metric(name, MetricUnit.Milliseconds if name.endswith("_ms") else MetricUnit.Count, value)
        if rule:
            emf.add_dimension("rule", rule)
        _lines.info(METRICS, extra={**emf.serialize_metric_set(), **named})
