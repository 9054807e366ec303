"""Whatever a file, a form or a link names: for a member or a visitor nothing is opened that is not theirs."""

import inspect
import json
import shutil

import gradio as gr
import pytest

from qlora_app import starter
from qlora_app.base_models import ModelChoice, kept_folder, models_below
from qlora_app.errors import UserError
from qlora_app.evaluate.contestants import Contestant
from qlora_app.evaluate.known_sets import questions_named
from qlora_app.kinds.adapter_import import spec_for
from qlora_app.other_adapters.reading import base_of
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from qlora_app.start_from import adapter_folder
from qlora_app.storage.outside import confined, lies_in_own
from qlora_app.ui.build import PageBuilder
from qlora_app.ui.guard import callers_of, server_functions
from tests.fixtures.page import unserved

PLACES = 31_337  # that the owner's model reads: a figure that nothing else has


def model_at(folder):
    """The starter, which reads another number of tokens."""
    shutil.copytree(starter.BASE, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": PLACES}))
    return folder


@pytest.fixture
def theirs(home):
    return model_at(home / "models" / "private")


@pytest.fixture
def own(home):
    folder = home / "members" / "bob"
    folder.mkdir(parents=True)
    return folder


def linked(own, theirs, part=""):
    """What looks like a member's own model, and leads to the owner's."""
    folder = own / "models" / f"linked{part}"
    folder.parent.mkdir(exist_ok=True)
    if not part:
        folder.symlink_to(theirs)
        return folder
    shutil.copytree(starter.BASE, folder)
    (folder / part).unlink()
    (folder / part).symlink_to(theirs / part)
    return folder


class Asked:
    """A page, of which everything is asked that changes nothing."""

    def __init__(self, page):
        with unserved():
            self.demo = PageBuilder(page).build()

    def of(self, named, part=""):
        """All that it says where this folder is chosen as the model; or what one part of it says."""
        said = []
        for fn in self.demo.fns.values():
            asks = list(inspect.signature(fn.fn).parameters) if fn.fn else []
            if asks != ["given"] or callers_of(fn.fn) != "everyone" or not fn.fn.__qualname__.startswith(part):
                continue
            given = {one: getattr(one, "value", None) for one in fn.inputs}
            given |= {one: str(named) for one in fn.inputs if one.elem_id == "f-base_model"}
            try:
                answer = fn.fn(given)
                said += list(answer) if inspect.isgenerator(answer) else [answer]
            except gr.Error as error:
                said.append(error.message)
        for block in self.demo.blocks.values():
            said += [getattr(block, name)({"seen": {}, "count": 9}) for name in server_functions(block)]
        return " ".join(repr(_shown(one)) for one in said)


def _shown(answer):
    if isinstance(answer, dict):
        return [_shown(one) for one in answer.values()]
    return getattr(answer, "value", answer)


def test_a_page_tells_of_a_model_to_those_whose_it_is(page, theirs, own):
    """The owner is told, so that nobody is told because nothing is asked."""

    def is_told(said):
        return "31,337" in said or str(PLACES) in said

    assert is_told(Asked(page).of(theirs, "ModelCard"))
    member = Asked(page.of_member("bob"))
    assert is_told(member.of(model_at(own / "models" / "mine"), "ModelCard"))
    shutil.rmtree(own / "models")
    for named in (theirs, linked(own, theirs), linked(own, theirs, "config.json")):
        said = member.of(named)
        assert not is_told(said), named
        assert "is no file of yours" in said
    assert page.of_visitors().own == [] and page.own is None


def test_what_names_a_file_of_somebody_else_opens_nothing(theirs, own, home, tmp_path):
    brought = tmp_path / "brought"
    brought.mkdir()
    (brought / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(theirs)}))
    settings = Settings(home=home)
    opens = {
        "the base of an adapter": lambda: base_of(brought, own / "models"),
        "a recipe's model": lambda: ModelChoice(source="folder", id=str(theirs)).folder,
        "a link in one's own": lambda: ModelChoice(source="folder", id=str(linked(own, theirs, "config.json"))).folder,
        "an adapter to begin with": lambda: adapter_folder(str(brought), own / "runs"),
        "an adapter to import": lambda: spec_for(str(brought)),
        "a file of answers": lambda: Contestant.of(f"file:{brought / 'adapter_config.json'}", settings),
        "a folder of questions": lambda: questions_named(f"mmlu:{theirs}", RunStore(own / "runs")),
    }
    for what, opened in opens.items():
        with confined([own]), pytest.raises(UserError) as caught:
            opened()
        is_base = what == "the base of an adapter"
        assert caught.value.code == ("import.base_missing" if is_base else "member.not_yours"), what
        if what != "a link in one's own":
            opened()  # its owner may
    assert all(problem for _, problem in confined_to(own, lambda: models_below(own / "models")))


def confined_to(own, asked):
    with confined([own]):
        return asked()


def test_nothing_lifts_what_holds(own, theirs):
    with confined([own]), confined(None):
        assert not lies_in_own(theirs) and lies_in_own(own / "x")
    assert lies_in_own(theirs)


@pytest.mark.parametrize("revision", ["../../../private", "..", "a/../../b", "/etc"])
def test_a_revision_of_the_hub_names_no_folder(revision, home, theirs, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "models" / "cache"))
    assert kept_folder(ModelChoice(source="hub", id="private/x", revision=revision)) is None
    folder = ModelChoice(source="hub", id="x").repository.snapshot(revision)
    assert revision != "../../../private" or folder.resolve() == theirs, "it would lead there"
