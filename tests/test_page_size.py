"""What is served when the page is opened: how much it is, and what it makes Gradio do. Counted, never timed."""

import copy

import pytest


@pytest.fixture
def config(workshop):
    """What a browser is given, as Gradio has it."""
    return workshop.demo.get_config_file()


def test_the_page_is_copied_without_what_lies_behind_it(config):
    """Gradio copies all of it for each visit. A word between quotes in the script of a gr.HTML is an attribute of it,
    and was one of its settings: with it went the app itself, for 300 ms of every visit.
    """
    for component in config["components"]:
        code = {name for name, value in component["props"].items() if callable(value)}
        assert code <= {"delete_callback"}, (component["type"], component["props"].get("elem_id"), code)
    assert copy.deepcopy(config)["components"]


def test_nobody_is_told_how_an_unseen_event_stands(config):
    """Gradio looks for each output in the whole page, at each word about the event."""
    for event in config["dependencies"]:
        assert event["show_progress"] == "hidden" or not event["backend_fn"], event["api_name"]
        assert event["show_progress_on"] == [] or not event["backend_fn"], event["api_name"]
