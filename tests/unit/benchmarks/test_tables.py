"""Ratios as they are printed."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import fairness, flood, lanes, throughput
from benchmarks.floor import Floor
from benchmarks.sizes import SIZES
from benchmarks.throughput import Pace, Paces


def _cells(report: str, first: str) -> list[str]:
    [row] = [line for line in report.splitlines() if line.startswith(f"| {first} ")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_lanes_are_compared_with_the_idle_engine() -> None:
    idle = lanes.Arm(name="on the idle engine", smokes=[1.0, 1.0, 1.0], nights=[50.0])
    ours = lanes.Arm(name="evalwindow's lanes", smokes=[2.0, 2.0, 2.0], nights=[60.0, 60.0])
    report = lanes.report(SIZES["mid"], idle, [ours], Floor(alone_s=0.8, beside_s=1.2), gap_s=5)
    assert _cells(report, "evalwindow's lanes") == [
        "evalwindow's lanes", "3", "2.00 s", "2.00 s", "2.00", "2.00", "60.00 s", "1.20",
    ]  # fmt: skip
    assert _cells(report, "floor, computed from step times")[4] == "1.40"


def test_goodput_is_of_tokens_and_of_medians() -> None:
    served = Pace(seconds=12.5, tokens=1000)
    paces = Paces(
        offline=[Pace(seconds=seconds, tokens=1000) for seconds in (5.0, 10.0, 20.0)],
        alone=[served],
        working=[served],
        beside=[Pace(seconds=20.0, tokens=1000)],
        beside_all=[Pace(seconds=20.0, tokens=1800)],
        statements=[75],
        used=[_usage()],
    )
    report = throughput.report(SIZES["mid"], paces, samples=500, gap_s=5)
    assert _cells(report, "offline LLM.chat")[1:] == ["3", "10.00 s", "5.00 s - 20.00 s", "100", "1.00", "0.50 - 2.00"]
    assert _cells(report, "evalwindow, submission to verdict")[5] == "0.80"
    assert _cells(report, "with a smoke every 5 s, the regression's tokens")[5] == "0.50"
    assert _cells(report, "the same, all tokens")[5] == "0.90"
    assert _cells(report, "CPU of our own processes (web 0.10, consumers 0.90)")[1] == "1.00 ms"
    assert _cells(report, "SQL statements")[1] == "0.150"
    assert _cells(report, "SQL transactions")[1] == "0.100"


def test_fairness_is_compared_with_the_same_engine_alone() -> None:
    alone = fairness.Arm(name="S alone", walls=[1.0], latencies=[0.5] * 50, rates=[100.0])
    beside = fairness.Arm(name="beside L", walls=[3.0], latencies=[1.0] * 50, rates=[200.0])
    report = fairness.report(SIZES["tiny"], [[alone, beside]], shorts=50)
    assert _cells(report, "beside L")[1:] == ["3.00 s", "3.00", "1.00 s", "1.00 s", "2.00", "200"]


def test_a_flood_is_compared_with_the_quiet_and_the_usual_arm() -> None:
    answers = flood.Answers(count=Counter({"admitted": 100, "refused by a quota": 3_900}), seconds=[0.25] * 4_000)
    grown = flood.Weight(database=3 * 2**20, web=2**19, dispatcher=0)
    arms = {"quiet": 0.05, "as usual": 0.1, "flooded": 0.15}
    splits = {name: [flood.Split(admitted=own, waited=0.05, worked=0.1)] * 20 for name, own in arms.items()}
    report = flood.report(splits, answers, grown)
    assert _cells(report, "flooded")[1:] == [
        "20", "300 ms", "300 ms", "1.50", "1.20", "150 ms", "50 ms", "100 ms",
    ]  # fmt: skip
    assert "A flood of 4,000 submissions" in report
    assert _cells(report, "refused by a quota")[1] == "3900"
    assert _cells(report, "web grew by")[1] == "0.5 MiB"


def _usage() -> throughput.Usage:
    return throughput.Usage(
        cpu_s={"web": 0.05, "consumers": 0.45},
        engine_cpu_s=5.0,
        redis_bytes=50_000,
        sql_transactions=50,
        wal_bytes=1_000,
    )


@pytest.mark.parametrize("count", [1, 20])
def test_p95_of_few_is_no_more_than_the_slowest(count: int) -> None:
    arm = lanes.Arm(name="a", smokes=[float(number) for number in range(1, count + 1)], nights=[1.0])
    p95 = lanes.p50_p95(arm.smokes)[1]
    assert arm.smokes[0] <= p95 <= arm.smokes[-1]
