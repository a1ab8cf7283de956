"""The JSON Schema of a suite's YAML, for editors."""

from __future__ import annotations

import json
from typing import Any

from evalwindow.suites.spec import SuiteSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """What SuiteSpec accepts, with all scorers and their options."""
    schema = SuiteSpec.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **schema, "title": "evalwindow suite"}


def as_text() -> str:
    """The published file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
