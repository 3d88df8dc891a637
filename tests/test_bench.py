"""What the benchmark promises, and how it judges."""

import pytest

from dev.bench import Report, _budgets
from dev.measure import Budget
from dev.ways import Crowd, Run

NAIVE = Run(wall_s=40, cpu_s=80, peak_mb=200, bytes_out=1, playable_s=1, completed_s=40)


def report(*, playable_s: float = 0.2, crowd_s: tuple[float, ...] = (1.0,) * 8) -> Report:
    ours = Run(wall_s=20, cpu_s=30, peak_mb=200, bytes_out=1, playable_s=playable_s, completed_s=20)
    return Report(
        clip={},
        runs={"naive": [NAIVE], "one process": [ours], "service": [ours]},
        crowds=[Crowd(clips=len(crowd_s), wall_s=99, cpu_s=200, peak_mb=200, playable_s=list(crowd_s))],
    )


def broken(found: Report) -> list[str]:
    return [budget.what for budget in _budgets(found) if not budget.holds]


def test_a_run_within_its_budgets_breaks_none():
    assert broken(report()) == []


def test_playable_may_take_six_thousandths_of_the_naive_ladder():
    assert broken(report(playable_s=0.25)) == ["upload complete → playable ÷ wall of naive"]


def test_with_eight_at_once_the_median_may_take_three_hundredths():
    assert broken(report(crowd_s=(1.3,) * 8)) == ["8 at once: median → playable ÷ wall of naive"]


def test_with_eight_at_once_the_slowest_may_take_six_hundredths():
    assert broken(report(crowd_s=(*[1.0] * 7, 2.5))) == ["8 at once: slowest → playable ÷ wall of naive"]


@pytest.mark.parametrize(("found", "holds"), [(1.19, False), (1.2, True)])
def test_a_minimum_holds_from_its_limit_on(found, holds):
    assert Budget("as fast", 1.2, "×", [found], at_least=True).holds is holds
