"""The right side of Train: one stage, of which one face is seen. Three are always there; that of the models only while
one is being chosen, that of several values only while they are asked for.
"""

from typing import Any, Literal

import gradio as gr

from ..events import Answer

Face = Literal["data", "settings", "run", "models", "several"]


class Stage:
    """The faces, each a tab that its owner fills."""

    def build(self) -> gr.Tabs:
        """To be entered; the faces are built inside."""
        self.tabs = gr.Tabs(selected="data", elem_id="stage", overflow_behavior="wrap")
        return self.tabs

    def face(self, title: str, name: Face) -> gr.Tab:
        """To be entered; what is built inside stands on that face."""
        # What stands on a face is there before it is first seen: scripts and labels need not wait for it.
        return gr.Tab(title, id=name, elem_id=f"face-{name}", render_children=True)

    def build_models(self) -> gr.Tab:
        """The face of the models, to be entered."""
        self.models = gr.Tab("Model", id="models", elem_id="face-models", visible=False)
        return self.models

    def build_several(self) -> gr.Tab:
        """The face where settings are given several values, to be entered."""
        self.several = gr.Tab("Several values", id="several", elem_id="face-several", visible=False)
        return self.several

    @property
    def outputs(self) -> list[Any]:
        """What `turned` fills."""
        return [self.tabs, self.models, self.several]

    def turned(self, face: Face) -> Answer:
        """The stage shows this face."""
        passing = {"models": self.models, "several": self.several}
        return {self.tabs: gr.Tabs(selected=face)} | {
            tab: gr.Tab(visible=face == name) for name, tab in passing.items()
        }
