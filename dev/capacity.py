"""Which limit is met first at a rate of uploads, which setting moves it, and what that costs.

    make capacity
    make capacity CAPACITY_OPTIONS="--clip-cpu-s 29 --unused 0.3"

What an upload asks for, quotas and prices are options: see ``Load``, ``Deployment`` and ``Prices``. With
--write, the tables go into docs/operations.md. With --check, nothing is written, and it exits with 1 if they
are out of date.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import floor, log10
from pathlib import Path
from textwrap import fill
from typing import Any

from dev.contention import Counting, apart, together
from dev.limits import STREAM, Deployment, Limit, Load, carrying, gigabytes, limits, polls
from dev.markers import between
from dev.sweep import USD_A_GB_S, USD_A_REQUEST

OPERATIONS = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN = "<!-- capacity, begin: `make docs` writes this part -->\n"
END = "<!-- capacity, end -->\n"

RATES = (10, 100, 1000, 10_000)  # uploads a minute
HEADROOM = 1.25  # for what comes in bursts
MINUTES_A_MONTH = 365 / 12 * 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices of us-east-1, June 2025, as docs/operations.md#costs has them; Lambda's are in ``sweep``.

    ``month_usd`` is what no upload changes: ``RecoverVideos``, queue polling, ``Monitoring``, twelve metrics.
    """

    api_request_usd: float = 3.50e-6
    s3_put_usd: float = 5e-6
    s3_get_usd: float = 0.4e-6
    s3_gb_month_usd: float = 0.023
    write_unit_usd: float = 0.625e-6
    read_unit_usd: float = 0.125e-6
    sqs_request_usd: float = 0.40e-6
    log_gb_usd: float = 0.50
    trace_usd: float = 5e-6
    month_usd: float = 0.42 + 7.40 + 3.60


def usd_an_upload(load: Load, prices: Prices, processor: str = "x86_64") -> float:
    """Of an upload that is transcoded, without tickets that nobody uses, with its first month in S3."""
    reads = load.polls + 1
    gb_s = (
        load.transcode_s * gigabytes("TranscodeVideo")
        + load.check_s * gigabytes("CheckUpload")
        + load.ticket_s * gigabytes("RequestUpload")
        + (reads + load.counted) * load.read_s * gigabytes("ReadVideo")
    )
    invocations = reads + load.counted + 3  # the ticket, the check, the transcode
    return (
        gb_s * USD_A_GB_S[processor]
        + invocations * (USD_A_REQUEST)
        + (reads + 1) * prices.api_request_usd
        + (load.s3_puts + load.s3_lists) * prices.s3_put_usd
        + load.s3_gets * prices.s3_get_usd
        + load.stored_gb * prices.s3_gb_month_usd
        + (load.table_units + load.index_units) * prices.write_unit_usd
        + (load.read_units + load.polls) * prices.read_unit_usd
        + load.sqs_requests * prices.sqs_request_usd
        + load.log_gb * prices.log_gb_usd
        + (reads + load.counted) * prices.trace_usd
    )


def report(at: Deployment, load: Load, prices: Prices, headroom: float = HEADROOM) -> str:
    """Everything, in Markdown."""
    found, carried = limits(at, load), limits(carrying(max(RATES), at, load, headroom), load)
    units = next(limit.per_upload for limit in found if limit.lever == "warm_writes")
    patient = polls(load.check_s, load.patience_s)
    parts = [
        f"For each upload: {load.tickets:.2f} tickets, as {100 * load.unused:.0f} % of them are not used; "
        f"{load.polls} reads of the status, one of the metadata; {load.check_s:.2g} s of a check; "
        f"{load.transcode_s:.2g} s of a transcode; {units:.0f} write units of the table. There is so much a "
        "second, or at once:",
        _limits_table(found),
        f"While transcodes are behind, an app that asks for {load.patience_s / 60:.0f} minutes asks "
        f"{patient} times. Then reads of the status reach "
        f"{_number(60 * at.requests_per_second / patient)} uploads a minute.",
        _rates_table(found, usd_an_upload(load, prices), prices),
        f"What carries each rate, with {100 * (headroom - 1):.0f} % to spare for bursts; all else as it is. "
        f"With the last column, *{carried[0].name}* is met first, at {_number(carried[0].reach)} uploads "
        "a minute:",
        _settings_table(at, load, headroom),
        "Writes of the counters that meet another one, and those that give up after every repeat: counted in "
        "batches of the stream, as is done, and each change alone, as was done:",
        _contention_table(at, load, headroom),
    ]
    return "\n".join(part if part.startswith("|") else f"{fill(part, 118)}\n" for part in parts)


def _limits_table(found: Sequence[Limit]) -> str:
    rows = [
        (
            limit.name,
            f"{limit.per_upload:,.3g}",
            f"{limit.capacity:,.3g}" if limit.capacity < 100 else f"{limit.capacity:,.0f}",
            _number(limit.reach),
            limit.moved_by or _name(limit.lever),
        )
        for limit in found
    ]
    return _table(("limit", "an upload", "there is", "uploads a minute", "moved by"), rows)


def _rates_table(found: Sequence[Limit], usd: float, prices: Prices) -> str:
    rows = []
    for rate in RATES:
        met = [limit.name for limit in found if limit.reach < rate]
        month = usd * rate * MINUTES_A_MONTH + prices.month_usd
        rows.append((f"{rate:,}", "; ".join(met) or "none", f"{usd * 1000:.2f}", f"{month:,.0f}"))
    return _table(("uploads a minute", "limits met, in order", "$ a thousand", "$ a month"), rows)


def _settings_table(at: Deployment, load: Load, headroom: float) -> str:
    carry = [carrying(rate, at, load, headroom) for rate in RATES]
    rows = [
        (_name(one.name), *(f"{getattr(each, one.name):,}" for each in (at, *carry)))
        for one in fields(at)
        if len({getattr(each, one.name) for each in (at, *carry)}) > 1
    ]
    return _table(("parameter or quota", "now", *(f"{rate:,}" for rate in RATES)), rows)


def _contention_table(at: Deployment, load: Load, headroom: float) -> str:
    counting = Counting(
        changes=load.changes,
        counted=load.counted,
        batch_size=STREAM["BatchSize"],
        window_s=STREAM["MaximumBatchingWindowInSeconds"],
    )
    rows = []
    for rate in RATES:
        writers = carrying(rate, at, load, headroom).publishers
        batches, alone = together(rate, writers, counting), apart(rate, counting)
        shares = (batches.conflicting, batches.given_up, alone.conflicting, alone.given_up)
        rows.append((f"{rate:,}", str(writers), *(f"{100 * share:.1f} %" for share in shares)))
    header = ("uploads a minute", "writers", "batches: met", "gave up", "each alone: met", "gave up")
    return _table(header, rows)


def _name(lever: str) -> str:
    return next(str(one.metadata["name"]) for one in fields(Deployment) if one.name == lever)


def _number(value: float) -> str:
    """Rounded down to two digits: nothing here is known better."""
    step = 10 ** max(0, floor(log10(value)) - 1)
    return f"{int(value // step * step):,}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in (header, *rows))
    return "\n".join([head, "|---" * len(header) + "|", *body, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the tables into docs/operations.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if out of date")
    parser.add_argument("--headroom", type=float, default=HEADROOM)
    for kind in (Load, Deployment, Prices):
        group = parser.add_argument_group(kind.__name__)
        for one in fields(kind):
            option = f"--{one.name.replace('_', '-')}"
            if isinstance(one.default, bool):
                group.add_argument(option, action=argparse.BooleanOptionalAction, default=one.default)
            else:
                group.add_argument(option, type=type(one.default), default=one.default)
    chosen = vars(parser.parse_args())

    def of(kind: type[Any]) -> Any:
        return kind(**{one.name: chosen[one.name] for one in fields(kind)})

    text = report(of(Deployment), of(Load), of(Prices), chosen["headroom"])
    page = OPERATIONS.read_text()
    if chosen["check"]:
        return int(between(page, BEGIN, END, text) != page)
    if chosen["write"]:
        OPERATIONS.write_text(between(page, BEGIN, END, text))
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
