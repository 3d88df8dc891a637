"""Publish what happened to videos: count it, and tell whoever wants to know."""

from collections.abc import Sequence

from videos.ports import Change
from videos.service import Service
from videos.telemetry import counters, logs, metrics
from videos.telling.events import events_of


def publish_changes(changes: Sequence[Change], service: Service) -> None:
    """Count each change once, however often it is delivered, and log its metrics; tell its events.

    They are counted first, so that a bus that is down keeps no count waiting.

    Raises:
        Unavailable: deliver all of them again.
    """
    once = {change.name: change for change in changes}
    _count(once, service)
    _tell(list(once.values()), service)


def _count(once: dict[str, Change], service: Service) -> None:
    values = {name: counters.of_change(change.before, change.after) for name, change in once.items()}
    counted = [(once[name], counters.counts(told)) for name, told in values.items() if told]
    for change in service.videos.count(counted):
        logs.about(change.video.id)
        metrics.emit(values[change.name], change.at)


def _tell(changes: Sequence[Change], service: Service) -> None:
    """At least once: a change that is delivered again is told again, by events with the same ids."""
    events = [event for change in changes for event in events_of(change, service.public_url)]
    if service.receiver and service.deliveries:
        for event in events:
            service.deliveries.put(event)
    if events and service.announcements:
        service.announcements.announce(events)
