"""Upkeep: what is kept no longer, what stands still, what has drifted. For a daily DAG, or `evalwindow upkeep`."""

from __future__ import annotations

from evalwindow.upkeep.baselines import open_aa
from evalwindow.upkeep.data import Looked, drift
from evalwindow.upkeep.retention import Retained, retain
from evalwindow.upkeep.standing import StaleReport, Trouble, stale

__all__ = ["Looked", "Retained", "StaleReport", "Trouble", "drift", "open_aa", "retain", "stale"]
