"""The command line: the page's recipes and runs without a browser, in the same words."""

from .commands import main

__all__ = ["main"]
