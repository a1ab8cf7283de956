"""`python -m evalwindow.suites > schemas/suite.schema.json` publishes the schema."""

from __future__ import annotations

import sys

from evalwindow.suites.schema import as_text

sys.stdout.write(as_text())
