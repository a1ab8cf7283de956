"""Why a model is not served where it is meant to be."""

from __future__ import annotations

from evalwindow.errors import BadInput, ConfigInvalid


class CantTell(BadInput):
    """What a model needs can't be computed from what is known about it."""


class DoesNotFit(ConfigInvalid):
    """A pool does not fit its GPU; the message is the arithmetic, a line each, and what would make it fit."""
