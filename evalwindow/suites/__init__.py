"""Suites: YAML + JSONL -> prompts, targets and what is demanded of them. See docs/suites.md."""

from __future__ import annotations

from evalwindow.suites.load import BrokenSuite, load_suite, load_suites, read_suites
from evalwindow.suites.schema import json_schema
from evalwindow.suites.serial import from_json, to_json
from evalwindow.suites.spec import SamplingSpec, SuiteSpec
from evalwindow.suites.suite import Suite

__all__ = [
    "BrokenSuite",
    "SamplingSpec",
    "Suite",
    "SuiteSpec",
    "from_json",
    "json_schema",
    "load_suite",
    "load_suites",
    "read_suites",
    "to_json",
]
