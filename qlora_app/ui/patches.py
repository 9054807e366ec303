"""Where the page reaches into what Gradio does not offer."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from gradio.components import State
from gradio.state_holder import SessionState

_begin = SessionState.__init__


def keep_no_copies() -> None:
    """For links that open a page as it once stood, Gradio 6.31 keeps how every component looks anew for each visit: a
    megabyte, for an hour after it. The door lets nobody ask for such a link.
    """

    def begin(self: Any, blocks: Any) -> None:
        _begin(self, SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def put(self: Any, key: int, value: Any) -> None:
        """What a handler answered: of a State the value, else the component as it is now."""
        block = self.blocks_config.blocks.get(key)
        if isinstance(block, State):
            self._state_ttl[key] = (block.time_to_live, datetime.now())
            self.state_data[key] = value
        else:
            self.blocks_config.blocks[key] = value

    def nothing(*_: Any) -> None:
        """There is no copy to be brought up to date."""

    SessionState.__init__ = begin  # type: ignore[method-assign, assignment]
    SessionState.__setitem__ = put  # type: ignore[method-assign]
    SessionState._update_config = nothing  # type: ignore[method-assign]
    SessionState._update_value_in_config = nothing  # type: ignore[method-assign]
