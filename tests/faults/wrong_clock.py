"""A Python program whose clock is wrong: `python -m tests.faults.wrong_clock FILE python -m module ...`.

FILE holds the seconds by which it is wrong, and may change at any moment.
"""

from __future__ import annotations

import runpy
import sys
import threading
import time
from pathlib import Path

import time_machine

LOOK_S = 0.05


def _keep(clock: Path, traveller: time_machine.Traveller) -> None:
    wrong_by = 0.0
    while True:
        wanted = float(clock.read_text() or wrong_by)  # empty while it is being written
        if wanted != wrong_by:
            traveller.shift(wanted - wrong_by)
            wrong_by = wanted
        time.sleep(LOOK_S)


def main() -> None:
    clock, _, _, module, *arguments = sys.argv[1:]
    traveller = time_machine.travel(time.time(), tick=True).start()
    threading.Thread(target=_keep, args=(Path(clock), traveller), daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
