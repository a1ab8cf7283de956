"""The command line, `evalwindow`: for teams over HTTP, for operators on the spot."""

from evalwindow.cli.app import main

__all__ = ["main"]
