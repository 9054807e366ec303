"""What is served when the page is opened: how much it is, and what it makes Gradio do. Counted, never timed."""

import copy
import json

import pytest

from qlora_app.ui import scripts as scripts_of_page
from qlora_app.ui.door import document


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
    for event in [one for one in config["dependencies"] if one["api_visibility"] == "private"]:
        assert event["show_progress"] == "hidden" or not event["backend_fn"], event["api_name"]
        assert event["show_progress_on"] == [] or not event["backend_fn"], event["api_name"]


def test_a_script_is_sent_once_and_not_with_the_page(config):
    """The card's stood in the page twice, that of the parts of a run's page six times."""
    scripts = [component["props"].get("js_on_load") or "" for component in config["components"]]
    events = [event["js"] for event in config["dependencies"] if event["js"] and event["js"] is not True]
    assert max(map(len, scripts)) < 1500 and max(map(len, events)) < 900
    assert scripts_of_page.file().count("EVENTS = ['back', 'chat', 'again', 'rename', 'note'") == 1


def test_the_page_is_small(config):
    """1.2 MB once; half of that is what Gradio says of 330 components and 300 events."""
    assert len(json.dumps(config, default=str)) < 800_000


def test_what_is_seen_first_needs_no_script_of_gradio():
    html = b'<head><script type="module" src="x"></script></head><body><gradio-app></gradio-app></body>'
    dressed = document.dressed(html).decode()
    ours, gradios = dressed.index('<script defer src="./guanaco.js?'), dressed.index('<script type="module"')
    assert ours < gradios and dressed.index("Guanaco Workshop") < dressed.index("<gradio-app")
    kept = document.Documents()
    packed = kept.packed(("http", "here"), html)
    assert kept.known(("http", "here")) == packed and kept.known(("http", "there")) is None
    whole, headers = document.as_accepted(packed, "br")
    assert whole.decode() == dressed and b"content-encoding" not in dict(headers)
    assert document.as_accepted(packed, "gzip, br")[0] == packed
    for number in range(20):
        kept.packed(("http", str(number)), html)
    assert kept.known(("http", "here")) is None, "a name that nobody asks by again is forgotten"


def test_an_event_of_a_script_has_no_name_that_is_a_setting():
    script = "trigger('every', {}); trigger('again', {});" + " " * scripts_of_page.SHORT
    taken = scripts_of_page.of_component(script)
    assert "'again'" in taken and "'every'" not in taken and len(taken) < len(script)
