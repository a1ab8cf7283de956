"""Suites: YAML + JSONL -> prompts, targets and what is demanded of them. See docs/suites.md."""

from __future__ import annotations

from evalwindow.suites.load import load_suite, load_suites
from evalwindow.suites.schema import json_schema
from evalwindow.suites.serial import from_json, to_json
from evalwindow.suites.spec import SamplingSpec, SuiteSpec
from evalwindow.suites.suite import Suite

__all__ = ["SamplingSpec", "Suite", "SuiteSpec", "from_json", "json_schema", "load_suite", "load_suites", "to_json"]
