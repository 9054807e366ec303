"""What programs find by name on the page: with Gradio's own client, and as tools of an assistant."""

import itertools
import shutil

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

import app
from qlora_app.inference.pool import ModelPool
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from tests.coroutines import in_a_thread
from tests.fixtures.damages import OLD
from tests.fixtures.serving import served
from tests.refusing import refused

QUESTION = "Where does Mira live?"
ANSWER = "Mira lives in the green house on Orchard Lane."


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp("named")
    shutil.copytree(OLD / "finished", home / "runs" / "finished")
    with served(home, sessions=ModelPool, mcp=True) as site:
        site.home, site.url = home, f"http://127.0.0.1:{site.port}"
        site.named = Client(site.url, verbose=False)
        yield site


def test_a_program_asks_a_run_and_reads_the_answer_as_it_grows(site):
    assert site.named.predict(QUESTION, api_name="/chat") == ANSWER
    texts = list(site.named.submit(QUESTION, run="finished", base=True, api_name="/chat"))
    assert texts[-1] != ANSWER and all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    history = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    assert site.named.predict(QUESTION, history=history, api_name="/chat")


def test_a_program_starts_a_training_and_finds_it_among_the_runs(site):
    id = site.named.predict("starter", {"training.epochs": "2"}, api_name="/train")
    rows = {row["id"]: row for row in site.named.predict(api_name="/runs")}
    assert rows["finished"]["state"] == "done" and rows[id]["state"] in ("queued", "starting")
    assert RunStore(site.home / "runs").get(id).recipe().training.epochs == 2


@pytest.mark.parametrize(
    ("asked", "name", "named"),
    [
        (("nobody's",), "/train", "nobody's"),
        (("starter", {"training.epoch": "1"}), "/train", "training.epochs"),
        (("starter", 7), "/train", "settings"),
        ((QUESTION, "nobody"), "/chat", "nobody"),
        (("  ",), "/chat", "message"),
        ((QUESTION, "latest", [7]), "/chat", "role"),
        ((QUESTION, "latest", 7), "/chat", "role"),
        ((QUESTION, "latest", None, False, -1), "/chat", "temperature"),
    ],
)
def test_what_cannot_be_done_is_said(site, asked, name, named):
    with pytest.raises(AppError) as refusal:
        site.named.predict(*asked, api_name=name)
    assert named in str(refusal.value) and "details are in the terminal" not in str(refusal.value)


def test_an_assistant_has_the_same_as_tools(site):
    async def used():
        async with (
            streamable_http_client(f"{site.url}/gradio_api/mcp/") as (receive, send, _),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            tools = await session.list_tools()
            return tools.tools, await session.call_tool("chat", {"message": QUESTION})

    tools, answered = in_a_thread(used())
    assert sorted(tool.name for tool in tools) == ["chat", "runs", "train"]
    assert all(tool.description for tool in tools)
    assert answered.content[0].text == ANSWER and not answered.isError


def test_assistants_are_let_in_by_the_setting_alone(tmp_path):
    with served(tmp_path) as site:
        assert site.client.post("/gradio_api/mcp/", json={}).status_code == 404
    for how in ({"user": "ada", "password": "correct horse"}, {"host": "0.0.0.0"}):
        with refused("page.mcp_alone"):
            app.open_page(Settings(home=tmp_path, mcp=True, **how))


def test_visitors_of_a_demonstration_may_ask_and_not_train(tmp_path):
    with served(tmp_path, host="0.0.0.0") as site:
        names = Client(f"http://127.0.0.1:{site.port}", verbose=False).view_api(return_format="dict")
        assert set(names["named_endpoints"]) == {"/chat", "/runs"}
