"""The figures: log lines that CloudWatch makes metrics of (its embedded metric format).

Powertools composes the document and the Logger writes it, so that every figure has the video's id, the
request and the trace beside it, and local mode has the same lines. Those are never dimensions: each
combination of dimensions is a metric, and is paid for.

    uploads_requested   a ticket was given, or a form's file taken
    accepted, refused   the check is over; ``refused`` comes once for the video, and for each broken ``rule``
    to_playable_ms      from the stored upload to the first output that plays
    to_completed_ms     from the stored upload to the last output
    completed, deleted  every output is there; nothing of it is, as its app wished
    retried             a transcode was begun once more
    failed, expired     given up: for a reason of ours, for want of a file
    recovered           had gone silent, and was set going again
    stuck               had gone silent, and could not be helped now
"""

import logging
from itertools import groupby

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from videos.counters import Figures
from videos.logs import logger

NAMESPACE = "TikToken"

# Whatever POWERTOOLS_LOG_LEVEL says: with fewer lines, alarms would go blind.
_lines = logging.getLogger(f"{logger.name}.metrics")
_lines.setLevel(logging.INFO)


def emit(figures: Figures) -> None:
    """Write down some figures; a name that ends in ``_ms`` is a time, any other a count.

    ``refused:resolution`` is ``refused`` for the rule ``resolution``.
    """
    for rule, group in groupby(figures.items(), key=lambda figure: figure[0].partition(":")[2]):
        values = {name.partition(":")[0]: value for name, value in group}
        made = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service=logger.get_current_keys()["service"])
        for name, value in values.items():
            made.add_metric(
                name, MetricUnit.Milliseconds if name.endswith("_ms") else MetricUnit.Count, value
            )
        if rule:
            made.add_dimension("rule", rule)
        _lines.info("figures", extra={**made.serialize_metric_set(), **values})
