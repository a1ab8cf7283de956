"""The peers' benchmark: the files that each arm reads, and the arithmetic of its table."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.peers_arms import pool_flags, serve_flags
from benchmarks.peers_clock import counted
from benchmarks.peers_job import Job, write_job
from benchmarks.peers_process import run_command
from benchmarks.peers_report import Arm, ArmsDiffer, check_same_work, ratio, report
from benchmarks.peers_venv import PINS
from benchmarks.sizes import SIZES

LIMIT = Arm(
    name="limit",
    work_s=10.0,
    command_s=30.0,
    beside_cpu_s=None,
    work_cpu_s=10.0,
    command_cpu_s=25.0,
    prompt_tokens=1000,
    output_tokens=2000,
    exact=0.9,
)
ARM = replace(LIMIT, name="arm", work_s=12.5, beside_cpu_s=0.5)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return write_job(tmp_path, SIZES["tiny"], prompts=3)


def test_every_arm_reads_the_same_prompts(job: Job) -> None:
    task = yaml.safe_load((job.tasks / "bench.yaml").read_text())
    rows = [json.loads(line) for line in Path(task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()]
    assert [row["prompt"] for row in rows] == list(job.prompts)
    assert [row["target"] for row in rows] == list(job.targets)
    assert len(job.prompts) == 3 and job.prompts[0].startswith("Repeat: ")


def test_lm_eval_is_asked_for_the_suites_sampling_and_no_stop_of_its_own(job: Job) -> None:
    task = yaml.safe_load((job.tasks / "bench.yaml").read_text())
    assert task["generation_kwargs"] == {
        "until": [],
        "do_sample": False,
        "temperature": job.sampling.temperature,
        "max_gen_toks": SIZES["tiny"].tokens,
    }


def test_the_pools_command_line_goes_to_tcp(job: Job) -> None:
    flags = pool_flags(job)
    assert flags[0].startswith("--")
    assert "--uds" not in flags and str(job.home / "unused") not in flags
    assert "--scheduling-policy" in flags and "--max-num-seqs" in flags


def test_both_servers_have_the_sizes_engine(job: Job) -> None:
    for flags in (pool_flags(job), serve_flags(job)):
        for name, value in job.size.offline.items():
            flag = f"--{name.replace('_', '-')}"
            assert flag in flags
            assert value is True or flags[flags.index(flag) + 1] == str(value)


def test_a_ratio_is_of_tokens_a_second() -> None:
    assert ratio(LIMIT, LIMIT) == 1.0
    assert ratio(ARM, LIMIT) == pytest.approx(0.8)
    assert ratio(replace(ARM, output_tokens=1000), LIMIT) == pytest.approx(0.4)


def test_the_table_is_by_the_sample() -> None:
    lines = report("Peers", [LIMIT, ARM], samples=500).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert cells[1] == ["limit", "10.00 s", "1.00", "30.00 s", "one process", "20.0", "50.0", "2000", "0.900"]
    assert cells[2][:6] == ["arm", "12.50 s", "0.80", "30.00 s", "1.0", "20.0"]


@pytest.mark.parametrize(
    "change, word",
    [
        ({"prompt_tokens": 1001}, "1001 prompt tokens"),
        ({"output_tokens": 2041}, "2041 output tokens"),
        ({"output_tokens": 1959}, "1959 output tokens"),
        ({"exact": 0.879}, "exact match 0.879"),
    ],
)
def test_other_work_is_no_comparison(change: dict[str, float], word: str) -> None:
    with pytest.raises(ArmsDiffer, match=word):
        check_same_work([LIMIT, replace(ARM, **change)])


def test_nearly_the_same_work_is_one() -> None:
    check_same_work([LIMIT, replace(ARM, output_tokens=2040, exact=0.885)])


def test_tokens_are_summed_over_labels() -> None:
    text = (
        "# TYPE vllm:prompt_tokens_total counter\n"
        'vllm:prompt_tokens_total{engine="0"} 3.0\n'
        'vllm:prompt_tokens_total{engine="1"} 4.0\n'
        'vllm:prompt_tokens_total_created{engine="0"} 1.7e9\n'
        'vllm:generation_tokens_total{engine="0"} 1.2e3\n'
    )
    assert counted(text) == (7, 1200)


def test_a_command_says_its_result_last_and_its_time(tmp_path: Path) -> None:
    line = ["python3", "-c", "print('noise'); print('RESULT {\"seconds\": 1}')"]
    ended = run_command(line, environ={"PATH": "/usr/bin:/bin"}, log=tmp_path / "log")
    assert ended.result == {"seconds": 1}
    assert ended.wall_s > 0 and ended.cpu_s > 0


def test_a_command_without_a_result_says_why(tmp_path: Path) -> None:
    line = ["python3", "-c", "print('noise'); raise SystemExit('no engine')"]
    with pytest.raises(RuntimeError, match="no engine"):
        run_command(line, environ={"PATH": "/usr/bin:/bin"}, log=tmp_path / "log")


def test_the_peers_are_pinned_by_name_and_version() -> None:
    comment, *pins = PINS.read_text().splitlines()
    assert comment.startswith("# ")
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    assert {"lm-eval==0.4.13", "inspect-ai==0.3.285"} <= set(pins)
