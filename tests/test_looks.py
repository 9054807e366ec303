"""What many pages ask alike is worked out once; who may not share an answer does not."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest

from qlora_app.ui.audit import Asker, at_the_door
from qlora_app.ui.door import looks
from qlora_app.ui.door.looks import HOUSEHOLD, LASTS, LONGEST_PAUSE, MOST_A_SECOND, MOST_AT_WORK, PAUSE, Looks
from qlora_app.ui.guard import owners, served, shared
from qlora_app.ui.translate import visitors_language
from tests.coroutines import in_a_thread
from tests.fixtures.serving import served as served_page

ASKED = "/gradio_api/component_server"


class Counted:
    """A component whose answers are numbered, and a server in front of it whose clock is turned by hand."""

    def __init__(self):
        self.asked = []
        self.passed_on = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.now = 0.0
        functions = {"poll": shared(self.poll), "find": served(self.find), "begin": owners(self.begin)}
        for function in functions.values():
            function._is_server_fn = True
        block = SimpleNamespace(**functions, secret=self.secret)
        blocks = SimpleNamespace(blocks={7: block, 8: block})
        self.app = SimpleNamespace(get_blocks=lambda: blocks)
        self.looks = Looks(self._gradio, clock=lambda: self.now)

    def poll(self, asked):
        self.may_answer.wait(60)
        self.asked.append(asked)
        return {"number": len(self.asked), "language": visitors_language()}

    def find(self, asked):
        return {}

    begin = secret = find

    async def _gradio(self, scope, receive, send):
        self.passed_on.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 299, "headers": []})

    async def ask(
        self,
        path=ASKED,
        session="s",
        language="en",
        user="",
        address="1.2.3.4",
        component=7,
        function="poll",
        data=None,
    ):
        """(status, what was said, headers)"""
        body = {"component_id": component, "fn_name": function, "session_hash": session, "data": data}
        scope = {"type": "http", "method": "POST", "path": path, "app": self.app}
        scope["headers"] = [(b"accept-language", language.encode())]
        sent = []

        async def receive():
            return {"type": "http.request", "body": json.dumps(body).encode()}

        async def send(message):
            sent.append(message)

        at_the_door.set(Asker(user, address))
        await self.looks(scope, receive, send)
        content = b"".join(one.get("body", b"") for one in sent)
        return sent[0]["status"], json.loads(content or b"null"), dict(sent[0]["headers"])


def test_two_hundred_that_ask_alike_are_answered_by_one_look():
    page = Counted()

    async def everybody():
        return await asyncio.gather(*(page.ask(session=f"s{n}", data={"run": "a"}) for n in range(200)))

    told = in_a_thread(everybody())
    assert [said for _, said, _ in told] == 200 * [{"number": 1, "language": "en"}]
    assert page.asked == [{"run": "a"}] and page.passed_on == []


@pytest.mark.parametrize(
    "other", [{"language": "de"}, {"user": "ada"}, {"component": 8}, {"data": {"run": "b"}}, {"data": [1]}]
)
def test_who_asks_otherwise_is_answered_for_themselves(other):
    page = Counted()

    async def both():
        return [(await page.ask())[1]["number"], (await page.ask(**other))[1]["number"]]

    assert in_a_thread(both()) == [1, 2]


def test_an_answer_is_good_for_a_moment_only():
    page = Counted()

    async def again():
        numbers = []
        for passed in (0.0, LASTS / 2, LASTS):
            page.now += passed
            numbers.append((await page.ask())[1]["number"])
        return numbers

    assert in_a_thread(again()) == [1, 1, 2]


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/run/predict", ASKED])
def test_who_has_just_changed_something_sees_it(path):
    page = Counted()

    async def around():
        before = await page.ask()
        changed = await page.ask(path=path, function="begin")
        return before[1]["number"], changed[0], (await page.ask())[1]["number"]

    assert in_a_thread(around()) == (1, 299, 2)


@pytest.mark.parametrize(
    "asked",
    [
        {"function": "find"},
        {"function": "begin"},
        {"function": "secret"},
        {"function": "__class__"},
        {"function": None},
        {"component": 9},
        {"component": "7"},
        {"component": None},
    ],
)
def test_what_is_not_shared_is_gradio_s(asked):
    """With the body as it came."""
    page = Counted()
    status, _, _ = in_a_thread(page.ask(**asked))
    assert status == 299 and page.asked == [] and len(page.passed_on) == 1
    assert json.loads(page.passed_on[0])["session_hash"] == "s"


def paused(page, sessions, address="1.2.3.4"):
    """Seconds that the last of so many pages of one address is told to wait."""

    async def many():
        for number in range(sessions):
            _, _, headers = await page.ask(session=f"s{number}", address=address)
        return int(headers[PAUSE]) / 1000

    return in_a_thread(many())


def test_the_more_look_the_less_often_each_is_to_look():
    page = Counted()
    assert paused(page, 8) == 8 / MOST_A_SECOND == paused(page, 8), "who looks again is counted once"
    assert paused(page, 200) == 200 / MOST_A_SECOND
    assert paused(page, 2000) == LONGEST_PAUSE
    page.now += looks.FORGOTTEN + 1
    assert paused(page, 8) == 8 / MOST_A_SECOND, "who has gone is not counted"


def test_one_visitor_under_many_names_slows_nobody_else_down():
    page = Counted()
    assert paused(page, 2000) == LONGEST_PAUSE
    assert paused(page, 1, address="5.6.7.8") == round(1000 * (HOUSEHOLD + 1) / MOST_A_SECOND) / 1000
    for number in range(200):
        paused(page, 2, address=f"5.6.7.{number}")
    assert paused(page, 1, address="5.6.7.8") == LONGEST_PAUSE, "many households do"


def test_beyond_the_limit_is_said_to_ask_again():
    page = Counted()
    page.may_answer.clear()

    async def crowd():
        waiting = [asyncio.create_task(page.ask(data=number)) for number in range(MOST_AT_WORK)]
        while len(page.looks._answers) < MOST_AT_WORK:
            await asyncio.sleep(0)
        refused = await page.ask(data="one more", language="de")
        await page.ask(path="/gradio_api/cancel")
        assert (await page.ask(data="one more"))[0] == 503, "who posts something meanwhile makes no room"
        page.may_answer.set()
        return refused, await asyncio.gather(*waiting)

    (status, said, headers), answered = in_a_thread(crowd())
    assert status == 503 and "fragt gleich noch einmal" in said["error"] and headers[b"retry-after"] == b"2"
    assert {status for status, _, _ in answered} == {200}
    assert in_a_thread(page.ask(data="one more"))[0] == 200


@pytest.mark.slow
def test_a_served_page_says_how_often_it_may_be_asked(tmp_path):
    with served_page(tmp_path) as site:
        components = site.client.get("/config").json()["components"]
        for name in ("bar", "live", "runs-table"):
            card = next(one["id"] for one in components if one["props"].get("elem_id") == name)
            function = "rows" if name == "runs-table" else "poll"
            body = {"component_id": card, "fn_name": function, "session_hash": "s", "data": {"run": "", "seen": {}}}
            first, second = (site.client.post(ASKED, json=body) for _ in range(2))
            assert first.status_code == second.status_code == 200 and first.json().keys() == second.json().keys()
            assert int(second.headers["x-pause"]) >= 0
            assert first.headers["x-content-type-options"] == "nosniff", "it comes through the door"
