"""A member's own token of the Hub: what it opens is theirs alone, and it is not shown again."""

from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from qlora_app.base_models import ModelChoice, folder_of
from qlora_app.base_models.download import fetch
from qlora_app.hub.repository import check_access
from qlora_app.settings import Settings
from qlora_app.storage.outside import confined
from qlora_app.ui.account import AccountPage
from tests.hub_server import GOOD
from tests.refusing import refused


def never():
    return False


def silent(*_):
    pass


@pytest.fixture
def bob(page, tmp_path):
    """His page, of a server whose owner has a token too."""
    return replace(page, settings=Settings(home=tmp_path / "home", hub_token="hf_of_the_owner")).of_member("bob")


def test_a_token_is_kept_where_the_hub_knows_it_and_never_shown_again(hub, bob):
    asked = TestClient(Starlette(routes=AccountPage(bob, bob.settings).routes()), follow_redirects=False)
    own = bob.settings
    assert own.token is None and own.secrets == {}, "the owner's is not theirs"
    for wrong in ("", "hf x", "hf_nobodys_token"):
        answer = asked.post("/account/token", data={"token": wrong})
        assert answer.status_code == 400 and own.token is None and 'role="alert"' in answer.text
        assert not wrong or wrong not in answer.text
    assert asked.post("/account/token", data={"token": f" {GOOD}\n"}).status_code == 303
    assert own.token == GOOD and own.token_file.stat().st_mode & 0o077 == 0 and GOOD in own.secrets.values()
    asked.post("/account/token", data={"token": "hf_nobodys_token"})
    assert own.token == GOOD, "what is refused changes nothing"
    page = asked.get("/account", headers={"accept-language": "de"}).text
    assert "Ein Token liegt hier seit" in page and GOOD not in page
    assert asked.post("/account/token/forget").status_code == 303 and own.token is None
    assert Settings(home=own.home.parents[1]).of_member("eve").token is None


def test_a_gated_model_is_for_the_member_whose_token_opens_it(hub, llama, tmp_path):
    """Not for another one, though its files lie in the cache that all share."""
    llama.gated = True
    choice = ModelChoice(source="hub", id=llama.id)
    homes = {name: [Settings(home=tmp_path).of_member(name).home] for name in ("bob", "eve")}
    with confined(homes["bob"]):
        fetch(choice, GOOD, silent, never)
        assert folder_of(choice).is_dir()
    with confined(homes["eve"]):
        with refused("model.not_open"):
            folder_of(choice)
        with refused("hub.gated") as said:
            fetch(choice, None, silent, never)
    assert "Your account" in str(said.value) and "QLORA_APP" not in str(said.value)
    with confined(homes["eve"]), pytest.raises(Exception, match="restricted"):
        check_access(choice.repository, llama.commit, "config.json", "hf_of_eve")
    assert not (homes["eve"][0] / "hub_may_read").exists()
