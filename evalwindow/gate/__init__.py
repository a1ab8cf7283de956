"""The gate: is a candidate as good as production? docs/gates.md tells what its answers mean."""

from evalwindow.gate.judge import combine, judge
from evalwindow.gate.noise import reach
from evalwindow.gate.smoke import next_reask

__all__ = ["combine", "judge", "next_reask", "reach"]
