"""What the page changes of Gradio's insides, and that Gradio still needs it."""

from types import SimpleNamespace

import gradio as gr
from gradio.state_holder import SessionState

from qlora_app.ui import patches
from qlora_app.ui.gradio_page import Page


def test_a_visit_keeps_no_copy_of_how_all_components_look():
    with Page() as demo:
        box, counted = gr.Textbox("a"), gr.State([0])
    visit, other = SessionState(demo), SessionState(demo)
    visit._update_value_in_config(box._id, "b")
    visit._update_config(box._id)
    visit[counted._id] = [1]
    visit[box._id] = gr.Textbox("a", visible=False, render=False)
    assert visit.config_values == {} and not visit[box._id].visible and other[box._id].visible
    assert (visit[counted._id], other[counted._id]) == ([1], [0]), "what is a visitor's own stays"
    assert visit[box._id].value == "a" and box._id in visit
    as_gradio_has_it = SimpleNamespace()
    patches._begin(as_gradio_has_it, demo)
    assert set(as_gradio_has_it.config_values) >= {box._id}, "or the patch is needed no longer"
    assert visit._state_ttl.keys() == {counted._id}, "or what Gradio keeps of a value has another name"
