"""`python -m evalwindow.datasets JOBS REPLIES`: validates one dataset after another; what batch.py starts."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from evalwindow.datasets.asked import Asked
from evalwindow.datasets.expectations import load
from evalwindow.datasets.jobs import Job, Reply, append_reply, read_jobs
from evalwindow.datasets.validate import validate
from evalwindow.errors import EvalwindowError


def main(argv: list[str]) -> int:
    """A reply for each job. One that crashes is told as that, and the next one begins."""
    jobs, replies = Path(argv[1]), Path(argv[2])
    load()  # outside of the time that the first dataset takes
    shared: dict[Asked, Asked] = {}  # a tokenizer is loaded once for all datasets
    for job in read_jobs(jobs):
        append_reply(replies, _reply(job, models=[shared.setdefault(each, each) for each in job.models]))
    return 0


def _reply(job: Job, *, models: Sequence[Asked]) -> Reply:
    try:
        report = validate(job.path, limits=job.limits, models=models, home=job.home, before=job.before)
    except EvalwindowError as error:
        return Reply(error=str(error))
    except Exception as error:  # noqa: BLE001 - a library's crash is no finding about the data
        traceback.print_exc()
        return Reply(error=f"{type(error).__name__}: {error}")
    return Reply(report=report)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
