"""The simulation of counting: what it must show if it is to be believed."""

from itertools import pairwise

from dev.contention import Counting, apart, together

COUNTING = Counting(changes=11, counted=3, batch_size=100, window_s=1)
RATES = (10, 100, 1000, 10_000)  # uploads a minute


def test_a_seed_gives_the_same_result_every_time():
    assert apart(1000, COUNTING) == apart(1000, COUNTING) != apart(1000, COUNTING, seed=15)


def test_one_writer_meets_nobody():
    assert together(10_000, 1, COUNTING).conflicting == 0


def test_writes_that_count_apart_conflict_more_the_more_there_are():
    shares = [apart(rate, COUNTING).conflicting for rate in RATES]

    assert all(fewer < more for fewer, more in pairwise(shares))
    assert shares[0] < 0.01


def test_few_writes_conflict_as_often_as_arithmetic_says():
    """While few are repeated, a write meets another if its item was written within the time it is held."""
    a_second, held_s, items = 50, 0.015, 8

    found = apart(1000, COUNTING).conflicting

    assert abs(found - a_second * held_s / items) < 0.02


def test_at_ten_thousand_a_minute_many_writes_are_lost_apart_and_none_together():
    alone, batched = apart(10_000, COUNTING), together(10_000, 8, COUNTING)

    assert alone.given_up > 0.1
    assert batched.given_up == 0
    assert batched.conflicting < 0.1
