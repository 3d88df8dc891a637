"""Where the files of a video are stored. Keys need no record, which may be deleted."""

INBOX = "uploads/"


def inbox_key(video_id: str) -> str:
    """Where a ticket puts its file, until the check takes it."""
    return f"{INBOX}{video_id}"


def sources_prefix(video_id: str) -> str:
    """The key prefix of what the checks took."""
    return f"sources/{video_id}/"


def outputs_prefix(video_id: str) -> str:
    return f"outputs/{video_id}/"
