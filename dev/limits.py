"""What an upload asks for, what the template and the account allow, and how far each limit reaches.

Arithmetic only: see ``contention`` for how writes get into each other's way, ``capacity`` for the tables.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, floor, log10

from dev.sweep import MB_A_PROCESSOR
from dev.template import TEMPLATE
from videos import policy
from videos.stores.aws.counts import COUNT_SHARDS
from videos.stores.aws.items import IN_FLIGHT_SHARDS

RESOURCES = TEMPLATE["Resources"]
STREAM = RESOURCES["PublishChanges"]["Properties"]["Events"]["Changed"]["Properties"]


def processors(function: str) -> float:
    return float(RESOURCES[function]["Properties"]["MemorySize"] / MB_A_PROCESSOR)


def gigabytes(function: str) -> float:
    return float(RESOURCES[function]["Properties"]["MemorySize"] / 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one upload asks for. Figures without a source are those of docs/operations.md#costs.

    Attributes:
        clip_cpu_s, check_cpu_s: of encoding and of checking a clip of 15 s: docs/performance.md's sweep, on a
            machine that others used, since Lambda's processors may be slower.
        fixed, fix_cpu_s: the share of clips that are fixed; what that takes of 1080x1920 at 60 fps in HLG.
        transfer_s, check_transfer_s: S3 and starts, beside that.
        unused: the share of tickets that nobody uses. An assumption.
        look_s: a job about an unused ticket.
        patience_s: how long an app goes on asking while transcodes are behind. An assumption.
        table_units, index_units: write units; of the latter, ``queued_units`` are in the index ``queued``.
        changes, counted: of a record; how many of those are counted.
        unused_units, unused_index_units: of a ticket that nobody uses: four writes, three of them counted.
        recover_cpu_s: CPU of putting a job for a silent video, measured with a table that answers at once.
        told: events of an upload. ``webhook_s``: until a receiver has answered one, starts included. An
            assumption.
        publish_s: of one change, in a full batch: the template's 0.1 s of CPU for 100, and two transactions.
    """

    clip_cpu_s: float = 9.2
    check_cpu_s: float = 0.27
    fixed: float = 0.0
    fix_cpu_s: float = 32.0
    transfer_s: float = 0.7
    check_transfer_s: float = 0.5
    ticket_s: float = 0.03
    read_s: float = 0.02
    unused: float = 0.1
    looks: float = 2
    look_s: float = 0.1
    patience_s: float = 600
    table_units: float = 50
    index_units: float = 10
    queued_units: float = 2
    read_units: float = 6  # beside one for each status
    unused_units: float = 10
    unused_index_units: float = 6
    changes: float = 11
    counted: float = 3
    recover_cpu_s: float = 0.003
    told: float = 2
    webhook_s: float = 0.3
    publish_s: float = 0.0015
    s3_puts: float = 7
    s3_lists: float = 2
    s3_gets: float = 3
    s3_deletes: float = 1
    stored_gb: float = 0.0143
    sqs_requests: float = 3
    log_gb: float = 0.00001

    @property
    def check_s(self) -> float:
        return self.check_cpu_s / min(1, processors("CheckUpload")) + self.check_transfer_s

    @property
    def transcode_s(self) -> float:
        cpu_s = self.clip_cpu_s + self.fixed * self.fix_cpu_s
        return cpu_s / processors("TranscodeVideo") + self.transfer_s

    @property
    def unused_tickets(self) -> float:
        return self.unused / (1 - self.unused)

    @property
    def tickets(self) -> float:
        return 1 + self.unused_tickets

    @property
    def polls(self) -> int:
        return polls(self.check_s, self.check_s + self.transcode_s)

    @property
    def requests(self) -> float:
        """To the API: tickets, status, metadata."""
        return self.tickets + self.polls + 1


def polls(playable_s: float, completed_s: float) -> int:
    """How often an app asks for the status, waiting as it is told to; seconds since the file was stored."""
    asked, at_s = 1, 0.0
    while at_s < completed_s:
        bands = policy.POLL_PLAYABLE if at_s >= playable_s else policy.POLL_UNPLAYABLE
        at_s += policy.poll_after_ms(at_s, bands) / 1000
        asked += 1
    return asked


def _default(parameter: str) -> int:
    return int(TEMPLATE["Parameters"][parameter]["Default"])


def _lever(name: str, default: int) -> int:
    setting: int = field(default=default, metadata={"name": name})
    return setting


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What the template's parameters and the account's quotas allow.

    Quotas are AWS's defaults in most regions, by these pages of its documentation in November 2026: "Lambda
    quotas" (a new account has less), "Understanding Lambda function scaling", "Configuring scaling behavior
    for SQS event source mappings", "Amazon API Gateway quotas", "Quotas in Amazon DynamoDB", "DynamoDB
    on-demand capacity mode", "Amazon SQS standard queue quotas", "CloudWatch Logs quotas", "Best practices
    design patterns: optimizing Amazon S3 performance".
    """

    requests_per_second: int = _lever("`RequestsPerSecond`", _default("RequestsPerSecond"))
    transcodes_at_once: int = _lever("`TranscodesAtOnce`", _default("TranscodesAtOnce"))
    transcode_pollers: int = _lever("`TranscodePollers`", _default("TranscodePollers"))
    checks_at_once: int = _lever("`ChecksAtOnce`", _default("ChecksAtOnce"))
    webhooks_at_once: int = _lever("`WebhooksAtOnce`", _default("WebhooksAtOnce"))
    warm_writes: int = _lever("`WarmWritesPerSecond`", _default("WarmWritesPerSecond"))
    warm_reads: int = _lever("`WarmReadsPerSecond`", _default("WarmReadsPerSecond"))
    concurrency: int = _lever("quota L-B99A9384, *Concurrent executions* of Lambda", 1000)
    api_requests: int = _lever("quota L-8A5B8E43, *Throttle rate* of API Gateway", 10_000)
    table_writes: int = _lever("quota L-AB614373, *Table-level write throughput*", 40_000)
    table_reads: int = _lever("quota L-CF0CBE56, *Table-level read throughput*", 40_000)
    log_requests: int = _lever("quota L-7E1FAE88, *PutLogEvents*", 5000)
    sqs_in_flight: int = _lever("a quota of SQS", 120_000)
    reserves: bool = TEMPLATE["Parameters"]["ReserveConcurrency"]["Default"] == "yes"
    has_receiver: bool = bool(TEMPLATE["Parameters"]["WebhookUrl"]["Default"])
    max_concurrency: int = 1000  # of an event source without pollers
    poller_invokes: int = 10
    requests_per_concurrency: int = 10  # a second
    new_table_writes: int = 4000  # of a new on-demand table; an index has as many of its own
    key_writes: int = 1000  # of one partition key, and of one partition
    s3_writes: int = (
        3500  # of one partition; ids begin with the time, so new keys of all prefixes may share one
    )

    @property
    def transcodes(self) -> int:
        return self.transcode_pollers * self.poller_invokes or self.transcodes_at_once

    @property
    def writes(self) -> int:
        return max(self.new_table_writes, self.warm_writes)

    @cached_property
    def publishers(self) -> int:
        """Writers of counts: a stream has a shard for each partition."""
        return ceil(self.writes / self.key_writes) * int(STREAM["ParallelizationFactor"])


@dataclass(frozen=True, slots=True)
class Limit:
    """``per_upload`` of something, of which there is ``capacity`` a second, or at once.

    ``lever`` is the field of ``Deployment`` that moves it, ``factor`` times. ``moved_by`` is for readers, if
    the name of that field does not say it all.
    """

    name: str
    per_upload: float
    capacity: float
    lever: str = ""
    factor: float = 1
    moved_by: str = ""

    @property
    def reach(self) -> float:
        """In uploads a minute."""
        return 60 * self.capacity / self.per_upload


def limits(at: Deployment, load: Load) -> list[Limit]:
    """Every limit, the first that is met first."""
    jobs_s = load.transcode_s + load.unused_tickets * load.looks * load.look_s
    published_s = (load.changes + 4 * load.unused_tickets) * load.publish_s
    reads_s = (load.polls + 1) * load.read_s
    together_s = jobs_s + load.check_s + load.tickets * load.ticket_s + reads_s + published_s
    recovered_a_s = (
        policy.RECOVER_WITHIN_S / policy.RECOVER_EVERY_S * processors("RecoverVideos") / load.recover_cpu_s
    )
    units = load.table_units + load.unused_tickets * load.unused_units
    index_units = load.index_units - load.queued_units + load.unused_tickets * load.unused_index_units
    code = "more keys in the code"
    found = [
        Limit("API, tickets", load.tickets, at.requests_per_second, "requests_per_second"),
        Limit("API, status", load.polls, at.requests_per_second, "requests_per_second"),
        Limit("API, metadata", 1, at.requests_per_second, "requests_per_second"),
        Limit("API, every request of the account", load.requests, at.api_requests, "api_requests"),
        Limit("Lambda, requests of the API", load.requests, at.requests_per_concurrency * at.concurrency,
              "concurrency", at.requests_per_concurrency),
        Limit("Lambda, checks", load.check_s, at.checks_at_once if at.reserves else at.concurrency,
              "checks_at_once" if at.reserves else "concurrency"),
        Limit("Lambda, transcodes", jobs_s, at.transcodes, "transcodes_at_once",
              moved_by="`TranscodesAtOnce`; beyond 1,000, `TranscodePollers`"),
        Limit("Lambda, all functions", together_s, at.concurrency, "concurrency"),
        Limit("RecoverVideos, unused tickets", load.unused_tickets * load.looks, recovered_a_s,
              moved_by="its `MemorySize`"),
        Limit("PublishChanges, changes", published_s, at.publishers, moved_by="its `ParallelizationFactor`"),
        Limit("DynamoDB, writes", units, at.writes, "warm_writes"),
        Limit("DynamoDB, reads", load.read_units + load.polls, at.warm_reads, "warm_reads"),
        Limit("DynamoDB, quota of writes", units, at.table_writes, "table_writes"),
        Limit("DynamoDB, quota of reads", load.read_units + load.polls, at.table_reads, "table_reads"),
        Limit("DynamoDB, index of videos in flight", index_units,
              min(at.new_table_writes, IN_FLIGHT_SHARDS * at.key_writes), moved_by="use: it grows"),
        Limit("DynamoDB, keys of videos in flight", index_units, IN_FLIGHT_SHARDS * at.key_writes,
              moved_by=code),
        Limit("DynamoDB, key of queued videos", load.queued_units, at.key_writes, moved_by=code),
        Limit("DynamoDB, key of one owner's videos", 1, at.key_writes, moved_by=code),
        Limit("DynamoDB, keys of counters", 2 * load.counted, COUNT_SHARDS * at.key_writes, moved_by=code),
        Limit("SQS, jobs in flight", jobs_s, at.sqs_in_flight, "sqs_in_flight"),
        Limit("CloudWatch Logs, a request an invocation", load.requests + load.counted + 2,
              at.log_requests, "log_requests"),
        Limit("S3, writes of one partition", load.s3_puts + load.s3_deletes, at.s3_writes,
              moved_by="use: S3 divides it, or AWS's support"),
    ]  # fmt: skip
    if at.has_receiver:
        webhooks_s = load.told * load.webhook_s
        found.append(Limit("Lambda, webhooks", webhooks_s, at.webhooks_at_once, "webhooks_at_once"))
    return sorted(found, key=lambda limit: limit.reach)


def carrying(rate: float, at: Deployment, load: Load, headroom: float) -> Deployment:
    """The deployment with every parameter and quota raised that is too low for ``rate`` and ``headroom``."""
    raised = at
    for limit in limits(at, load):
        needed = limit.per_upload * rate / 60 * headroom
        if needed <= limit.capacity or not limit.lever:
            continue
        lever, value = limit.lever, needed / limit.factor
        if lever == "transcodes_at_once" and value > at.max_concurrency:
            lever, value = "transcode_pollers", value / at.poller_invokes
        raised = replace(raised, **{lever: max(getattr(raised, lever), _rounded_up(value))})
    return raised


def _rounded_up(value: float) -> int:
    step = 10 ** max(0, floor(log10(value)) - 1)
    return int(ceil(value / step) * step)
