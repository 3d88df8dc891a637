"""How much an owner may upload per day, and how much a new video uses of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import ceil

from videos.errors import QuotaExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one owner may upload per UTC day; 0 means no limit."""

    uploads: int = 0
    size_bytes: int = 0


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """How much of its owner's quota a new video uses."""

    owner: str
    at: datetime
    size_bytes: int
    quota: Quota

    @property
    def day(self) -> str:
        return self.at.astimezone(UTC).date().isoformat()

    @property
    def resets_at(self) -> datetime:
        return datetime.combine(self.at.astimezone(UTC).date() + timedelta(days=1), time(tzinfo=UTC))

    def fits(self, uploads: int, size_bytes: int) -> bool:
        """Whether the charge fits, given what the owner has used today."""
        quota = self.quota
        return not (0 < quota.uploads < uploads + 1 or 0 < quota.size_bytes < size_bytes + self.size_bytes)

    def rejection(self, uploads: int, size_bytes: int) -> QuotaExceeded:
        """The error to raise, given what the owner has used today."""
        return QuotaExceeded(
            {
                "uploads": {"limit": self.quota.uploads, "used": uploads},
                "bytes": {"limit": self.quota.size_bytes, "used": size_bytes},
            },
            resets_at=self.resets_at,
            retry_after_s=ceil((self.resets_at - self.at).total_seconds()),
        )
