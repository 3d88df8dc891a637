"""Every timeout, delay and retry limit, and the relations that must hold between them.

tests/test_policy.py compares the values repeated elsewhere: timeouts, visibility and receive counts in
template.yaml, the queues of the local server.
"""

from datetime import timedelta
from math import inf

# ── Tickets and links
TICKET_TTL = timedelta(hours=1)  # until an upload must have started; phones are on slow networks
KEYED_TTL = timedelta(hours=24)  # how long a repeat with the same Idempotency-Key gets the same answer
LINK_TTL_S = 3600  # validity of a signed playback URL

# ── Polling: (age in seconds below which the hint holds, hint in milliseconds)
Bands = tuple[tuple[float, int], ...]
POLL_UPLOADING: Bands = ((30, 1000), (120, 3000), (inf, 10_000))  # since the ticket; uploads take a while
POLL_UNPLAYABLE: Bands = ((1, 250), (4, 1000), (10, 3000), (inf, 10_000))  # since the file was stored
POLL_PLAYABLE: Bands = ((5, 1000), (20, 3000), (inf, 10_000))  # the same; only its progress changes

# ── One run of a media tool
PROBE_TIMEOUT_S = 11.0  # a file of 6 MiB takes a tenth of a second
COPY_TIMEOUT_S = 14.0  # 60 s of video take 0.2 s
LADDER_TIMEOUT_S = 220.0  # 60 s of video take 40 s on two slow cores
FIX_TIMEOUT_S = 420.0  # for all runs of a fix; 60 s of 4K at 60 fps take 140 s on two cores, in HEVC and HDR
PROBES_A_CHECK = 4  # packets, those that are missing, streams and a keyframe, all keyframes
COPIES_AN_ATTEMPT = 3  # the sound, if it is encoded; with colour tags; if that fails, without
CHECK_S = PROBES_A_CHECK * PROBE_TIMEOUT_S + COPIES_AN_ATTEMPT * COPY_TIMEOUT_S
# Of what was fixed too, the copies and the ladder are made. The last probe measures loudness.
FIX_S = FIX_TIMEOUT_S + PROBES_A_CHECK * PROBE_TIMEOUT_S
TRANSCODE_S = FIX_S + COPIES_AN_ATTEMPT * COPY_TIMEOUT_S + PROBE_TIMEOUT_S + LADDER_TIMEOUT_S

# ── One attempt at a check or a transcode
PROGRESS_STEP_S = 1.0  # progress is written at most this often
HEARTBEAT_S = 15.0  # and at least this often, to show that the attempt is alive
LEASE_S = 90.0  # other deliveries leave an attempt alone if it wrote within this time
LOOK_AGAIN_S = 5  # delay of a job that overtook its check

# ── Recovery
SILENCE_LIMIT = timedelta(
    minutes=2
)  # an upload or attempt without a write for longer is stalled, and is recovered
WATCH_STEP = timedelta(seconds=30)  # an attempt moves the time of its recovery at most this often
QUEUE_TIMEOUT = timedelta(minutes=30)  # a job that waits longer is presumed lost
MAX_DOUBLINGS = 3  # of that, each time it was not lost, so that a backlog is not made of spare jobs
KEPT_AFTER_ENDING = timedelta(days=30)  # then a video that came to nothing is erased; its dead letter is gone
RECOVER_EVERY_S = 60
RECOVER_WITHIN_S = 45.0  # a recovery round starts no more work after this
RECOVERED_AT_ONCE = 8  # videos; each waits for a write and a job. boto3 keeps ten connections
CLEAN_UP_AFTER_S = 60  # delay of the job that removes files left by a crash

# ── Retries
MAX_FAILURES = 5  # attempts of a video that fail through no fault of its file, before it is marked failed
MAX_LOST = 5  # attempts of a video whose worker is lost, before it is marked failed
MAX_EXHAUSTED = (
    2  # runs of a tool into its limits, in checks and again in transcodes, before a file is rejected
)
MAX_RECEIVES = 20  # deliveries of a job before it is a dead letter; the record gives up before

# ── Webhooks
CONNECT_TIMEOUT_S = 3.0  # for the name and for the connection, each
CALL_TIMEOUT_S = 10.0  # for all of a call
# After the first failed attempt, the second …; then it is a dead letter, a day after the event.
DELIVERY_PAUSES_S = (5, 60, 300, 1800, 3600, 7200, 14_400, 28_800, 32_400)
MAX_DELIVERIES = len(DELIVERY_PAUSES_S) + 1
MAX_UNFINISHED = 480  # deliveries that end in no attempt, as if the function cannot start; then the same
DELIVERY_VISIBILITY_S = 180  # six times the function's timeout, as AWS recommends

# ── The queues
MAX_HIDDEN_S = 43_200  # how long SQS hides a message at most, since it was received
MAX_DELAY_S = 900  # SQS's maximum delay
# What Retry-After may ask for. The first retry is a message of its own; for later ones, that is hidden.
MAX_FIRST_WAIT_S, MAX_WAIT_S = MAX_DELAY_S, MAX_HIDDEN_S - DELIVERY_VISIBILITY_S
MAX_PAUSE_S = 60
VISIBILITY_S = 900  # local queue; on AWS six times the function's timeout, as AWS recommends

assert PROGRESS_STEP_S < HEARTBEAT_S
assert 2 * HEARTBEAT_S < LEASE_S, "one heartbeat may be lost"
assert CHECK_S < LEASE_S, "a check writes no heartbeat"
assert HEARTBEAT_S + PROBES_A_CHECK * PROBE_TIMEOUT_S < LEASE_S, "nor does the check of what was fixed"
assert COPIES_AN_ATTEMPT * COPY_TIMEOUT_S + PROBE_TIMEOUT_S < LEASE_S, "a stream copy writes no heartbeat"
assert timedelta(seconds=LEASE_S) < SILENCE_LIMIT < QUEUE_TIMEOUT
assert timedelta(seconds=HEARTBEAT_S) < WATCH_STEP < SILENCE_LIMIT
assert RECOVER_WITHIN_S < RECOVER_EVERY_S < SILENCE_LIMIT.total_seconds()
assert CLEAN_UP_AFTER_S <= MAX_DELAY_S
assert MAX_PAUSE_S <= MAX_DELAY_S
assert MAX_FAILURES + MAX_LOST + MAX_EXHAUSTED < MAX_RECEIVES, "the record gives up before the queue"
assert TRANSCODE_S < VISIBILITY_S < QUEUE_TIMEOUT.total_seconds(), "no second delivery during an attempt"
assert DELIVERY_PAUSES_S[0] <= MAX_FIRST_WAIT_S
assert max(DELIVERY_PAUSES_S) <= MAX_WAIT_S
assert CALL_TIMEOUT_S < DELIVERY_VISIBILITY_S, "no second delivery during a call"
assert timedelta(days=1).total_seconds() <= MAX_UNFINISHED * DELIVERY_VISIBILITY_S, "time for a new setting"
assert sum(DELIVERY_PAUSES_S) > timedelta(days=1).total_seconds(), "a receiver may be down for a day"


def poll_after_ms(age_s: float, bands: Bands) -> int:
    """The hint for a video of this age."""
    return next(hint_ms for below_s, hint_ms in bands if age_s < below_s)


def queue_timeout(rounds: int, first: timedelta = QUEUE_TIMEOUT) -> timedelta:
    """How long a job may wait, if ``rounds`` spare ones wait already: 30 min, 1 h, 2 h, 4 h, 4 h …"""
    return first * (1 << min(rounds, MAX_DOUBLINGS))


def pause_s(receives: int) -> int:
    """Retry delay in seconds after the ``receives``-th delivery failed: 2, 4, 8 … 60."""
    return min(1 << receives, MAX_PAUSE_S)
