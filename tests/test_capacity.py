"""The model of capacity: what it says of the template, and that the documentation has its tables."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dev.capacity import HEADROOM, RATES, Prices, usd_an_upload
from dev.limits import Deployment, Limit, Load, carrying, limits, polls

PROJECT = Path(__file__).parent.parent
OPERATIONS = (PROJECT / "docs" / "operations.md").read_text()
NOW, LOAD = Deployment(), Load()


def reach(name: str, at: Deployment = NOW, load: Load = LOAD) -> float:
    [limit] = [limit for limit in limits(at, load) if limit.name == name]
    return limit.reach


def first(at: Deployment = NOW, load: Load = LOAD) -> Limit:
    return limits(at, load)[0]


# ── What the model says ──────────────────────────────────────────────────────────


def test_an_app_asks_as_often_as_the_documentation_of_costs_says():
    [asked] = re.findall(r"is asked for (\d+) times by status", OPERATIONS.replace("\n", " "))

    assert LOAD.polls == int(asked)


@pytest.mark.parametrize(("completed_s", "asked"), [(0, 1), (1, 5), (5, 9), (20, 14), (60, 18)])
def test_an_app_asks_less_and_less_often(completed_s, asked):
    assert polls(0.7, completed_s) == asked


def test_ten_transcodes_of_six_seconds_take_a_hundred_uploads_a_minute():
    assert first().name == "Lambda, transcodes"
    assert first().reach == pytest.approx(98, abs=2)
    assert first(replace(NOW, transcodes_at_once=200)).name == "API, status"


def test_an_event_source_without_pollers_ends_below_ten_thousand_and_pollers_do_not():
    assert reach("Lambda, transcodes", replace(NOW, transcodes_at_once=1000)) < 10_000
    assert reach("Lambda, transcodes", replace(NOW, transcode_pollers=130)) > 12_000


def test_webhooks_are_a_limit_where_somebody_receives_them():
    told = replace(NOW, has_receiver=True)

    assert "Lambda, webhooks" not in {limit.name for limit in limits(NOW, LOAD)}
    assert reach("Lambda, webhooks", told) == pytest.approx(500)
    assert carrying(10_000, told, LOAD, HEADROOM).webhooks_at_once >= 100 * HEADROOM


def test_a_reservation_limits_checks():
    name = "Lambda, checks"

    assert reach(name, replace(NOW, reserves=True)) == pytest.approx(reach(name) / 20)


def test_more_unused_tickets_leave_less_time_for_each():
    name = "RecoverVideos, unused tickets"

    assert reach(name, load=replace(LOAD, unused=0.3)) < reach(name) / 3


@pytest.mark.parametrize("unused", [0.1, 0.3])
@pytest.mark.parametrize("rate", RATES)
def test_parameters_and_quotas_carry_each_rate_with_room_for_bursts(rate, unused):
    load = replace(LOAD, unused=unused)
    carried = first(carrying(rate, NOW, load, HEADROOM), load)

    assert carried.reach >= rate, carried.name
    assert not carried.lever or carried.reach >= rate * HEADROOM


def test_what_carries_ten_thousand_a_minute_needs_parameters_that_the_template_takes():
    carried = carrying(10_000, NOW, LOAD, HEADROOM)

    assert 2 <= carried.transcode_pollers <= 2000
    assert carried.transcodes_at_once == NOW.transcodes_at_once <= 1000
    assert carried.transcodes < carried.concurrency, "a backlog leaves something to the API"


def test_a_slower_encode_moves_the_first_limit_and_costs_more():
    slower = replace(LOAD, clip_cpu_s=2 * LOAD.clip_cpu_s)

    assert first(load=slower).reach < first().reach / 1.5
    assert usd_an_upload(slower, Prices()) > usd_an_upload(LOAD, Prices()) + 0.0002


@pytest.mark.parametrize(("processor", "column"), [("x86_64", 0), ("arm64", 1)])
def test_an_upload_costs_what_the_documentation_of_costs_says(processor, column):
    [together] = re.findall(r"\*\*together\*\* \| \*\*(.+?)\*\* \| \*\*(.+?)\*\*", OPERATIONS)

    usd_a_thousand = 1000 * usd_an_upload(LOAD, Prices(), processor)

    assert usd_a_thousand == pytest.approx(float(together[column]), abs=0.02)  # its rows are rounded


# ── What the documentation says ──────────────────────────────────────────────────


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dev.capacity", *options],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": "functions"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.thorough
def test_the_tables_of_capacity_are_what_make_docs_writes():
    assert run("--check").returncode == 0, "make docs"


@pytest.mark.thorough
def test_every_assumption_is_an_option_of_the_program():
    told = run("--unused", "0.5", "--concurrency", "5000", "--no-reserves").stdout

    assert "50 % of them are not used" in told
    assert re.search(r"\| Lambda, all functions \| \S+ \| 5,000 \|", told)


def test_the_command_for_a_launch_has_the_parameters_of_the_model():
    carried = carrying(10_000, NOW, LOAD, HEADROOM)
    settings = dict(re.findall(r"\b([A-Z]\w+PerSecond|TranscodePollers)=(\d+)", OPERATIONS))

    assert settings == {
        "RequestsPerSecond": str(carried.requests_per_second),
        "TranscodePollers": str(carried.transcode_pollers),
        "WarmWritesPerSecond": str(carried.warm_writes),
    }
    assert f"--quota-code L-B99A9384 --desired-value {carried.concurrency}" in OPERATIONS
    reserved = carrying(10_000, replace(NOW, reserves=True), LOAD, HEADROOM)
    assert f"`ChecksAtOnce={reserved.checks_at_once}`" in OPERATIONS
