"""What tests start ends with them."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.real.house import ROOT, until

STARTER = """
import sys
from pathlib import Path
from tests.real.house import launch
print(launch(["sleep", "600"], environ={}, log=Path(sys.argv[1])).pid, flush=True)
sys.stdin.read()
"""


def test_a_process_of_a_test_ends_with_tests_that_are_killed(tmp_path: Path) -> None:
    line = [sys.executable, "-c", STARTER, str(tmp_path / "log")]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        process = psutil.Process(int(tests.stdout.readline()))
        assert process.is_running()
        tests.kill()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
