"""Time that a test sets."""

from datetime import UTC, datetime, timedelta
from threading import Lock


class Clock:
    """Time that stands still until it is told to move, by any thread."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)
        self._one_at_a_time = Lock()

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **span: float) -> None:
        with self._one_at_a_time:
            self.time += timedelta(**span)
