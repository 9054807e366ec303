"""How the page calls its handlers: they get {component: value} of a set of components, and answer {component: value or
update} for whichever of their outputs change. An empty answer changes nothing.
"""

from collections.abc import Callable
from typing import Any

from gradio.components import Component

Given = dict[Component, Any]
Answer = dict[Any, Any]  # of components and of blocks that only show or hide others
# Gradio tells each output how an event stands, and looks for each in the whole page for it: not where nobody sees it.
QUIET: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
FAST: dict[str, Any] = QUIET | {"queue": False}
LAST: dict[str, Any] = {"trigger_mode": "always_last"}  # what happens meanwhile is answered once more at the end
After = Callable[[Any], None]  # is handed an event, and says what follows on it
# The address tells which tab and which run one looks at, so that a reload or a shared link shows them again (Train
# always shows the run that is being trained, else the newest). A tab also says that it was chosen while the page is
# still being built, when the address has not been read yet.
REMEMBER = """(run) => { if (!window.guanacoReady) return;
  const q = new URLSearchParams(location.search); q.set('tab', '%s');
  run && typeof run === 'string' ? q.set('run', run) : q.delete('run');
  ['chat', 'show', 'compare', 'evaluation'].forEach(name => q.delete(name));
  history.replaceState(null, '', '?' + q); }"""
