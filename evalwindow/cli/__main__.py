"""`python -m evalwindow.cli`."""

from __future__ import annotations

import sys

from evalwindow.cli.app import main

sys.exit(main())
