"""What Gradio says of a page to a browser, without what no browser reads. A new version of Gradio may read more of it:
then the tests of the browser fail.
"""

from typing import Any

import gradio as gr

from .patches import keep_no_copies

# Each component's types and an example, for programs, which call none of the page's handlers.
_OF_COMPONENTS = ("api_info", "api_info_as_input", "api_info_as_output", "example_inputs", "skip_api")
_OF_EVENTS = ("api_description", "batch", "max_batch_size", "scroll_to_output", "collects_event_data", "time_limit")
_OF_PROPERTIES = ("preserved_by_key", "_retryable", "_undoable", "likeable", "streamable")


keep_no_copies()


class Page(gr.Blocks):
    """Blocks whose description is as short as may be: each visit copies it, sends it, and reads it."""

    has_hub_login = False  # may people log in with Hugging Face? Gradio asks for a button otherwise

    @property
    def expects_oauth(self) -> bool:
        """Has it the routes of that login?"""
        return self.has_hub_login

    def get_config_file(self) -> Any:
        """What stands on the page and what happens on it."""
        config = super().get_config_file()
        for component in config["components"]:
            if component["type"] == "api":  # of a function that programs call by its name: no browser draws it
                continue
            _drop(component, _OF_COMPONENTS)
            _drop(component["props"], _OF_PROPERTIES)
        for event in config["dependencies"]:
            _drop(event, _OF_EVENTS)
        return config


def _drop(described: Any, names: tuple[str, ...]) -> None:
    for name in names:
        described.pop(name, None)
