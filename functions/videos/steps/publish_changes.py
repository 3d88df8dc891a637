"""Publish what happened to videos: count it."""

from collections.abc import Sequence

from videos.ports import Change
from videos.service import Service
from videos.telemetry import counters, logs, metrics


def publish_changes(changes: Sequence[Change], service: Service) -> None:
    """Count each change once, however often it is delivered, and log its metrics.

    Raises:
        Unavailable: deliver all of them again.
    """
    once = {change.name: change for change in changes}
    values = {name: counters.of_change(change.before, change.after) for name, change in once.items()}
    counted = [(once[name], counters.counts(told)) for name, told in values.items() if told]
    for change in service.videos.count(counted):
        logs.about(change.video.id)
        metrics.emit(values[change.name], change.at)
