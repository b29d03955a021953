"""The command line: parse, call the library, print. The only place that prints."""

from uhrqa.cli.app import main

__all__ = ["main"]
