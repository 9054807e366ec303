"""Where the page reaches into what Gradio does not offer."""

from types import SimpleNamespace
from typing import Any

from gradio.state_holder import SessionState

_begin = SessionState.__init__


def keep_no_copies() -> None:
    """For links that open a page as it once stood, Gradio 6.31 keeps how every component looks anew for each visit: a
    megabyte, for an hour after it. The door lets nobody ask for such a link.
    """

    def begin(self: Any, blocks: Any) -> None:
        _begin(self, SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def nothing(*_: Any) -> None:
        """There is no copy to be brought up to date."""

    SessionState.__init__ = begin  # type: ignore[method-assign, assignment]
    SessionState._update_config = nothing  # type: ignore[method-assign]
    SessionState._update_value_in_config = nothing  # type: ignore[method-assign]
