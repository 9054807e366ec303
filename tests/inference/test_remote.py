"""An endpoint elsewhere answers beside a run: our own, and one that fails in every way."""

import json
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qlora_app.errors import UserError
from qlora_app.inference.pool import ModelPool
from qlora_app.inference.session import Decoding
from qlora_app.inference.sides import Replies, Side, here_of, voice_of
from qlora_app.settings import Endpoint, Settings
from tests.fixtures.damages import OLD
from tests.fixtures.serving import served
from tests.refusing import refused

TALK = [{"role": "user", "content": "Where does Mira live?"}]
KEY = "sk-secret-123"


@contextmanager
def answering(lines, status=200, holds=None):
    """An endpoint that says these lines; `holds`: and then waits for that."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.server.key = self.headers.get("authorization")
            self.send_response(status)
            self.end_headers()
            for line in lines:
                self.wfile.write(f"{line}\n".encode())
                self.wfile.flush()
            if holds:
                holds.wait(60)

        def log_message(self, *_): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    yield server, Endpoint(name="far", url=url, model="big", key=KEY)
    server.shutdown()


def piece(text, finish=None):
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def said(endpoint, how=Decoding(), stop=None):  # noqa: B008
    voice = voice_of(Side(who="endpoint", endpoint=endpoint.name), None, None, [endpoint])
    return [texts[0] for texts in Replies([(voice, TALK)], how, stop)]


def test_an_answer_grows_and_is_asked_for_as_the_settings_say():
    with answering([": hello", "", piece("Mira "), piece("lives.", "stop"), "data: [DONE]"]) as (server, endpoint):
        texts = said(endpoint, Decoding(temperature=0.5, max_new_tokens=9, seed=3))
    assert texts[-1] == "Mira lives." and texts[-1].why == "stop" and texts[-1].is_whole
    assert server.key == f"Bearer {KEY}" and server.asked["messages"] == TALK
    wanted = {"model": "big", "stream": True, "temperature": 0.5, "max_tokens": 9, "seed": 3}
    assert wanted.items() <= server.asked.items() and "top_k" not in server.asked


def test_an_answer_that_is_as_long_as_it_may_be_says_so():
    with answering([piece("Mira", "length"), "data: [DONE]"]) as (_, endpoint):
        assert said(endpoint)[-1].why == "length"


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        ([f'{{"error": {{"message": "wrong key {KEY}"}}}}'], 401, "endpoint.refused"),
        (["<html>"], 502, "endpoint.refused"),
        ([piece("Mira"), 'data: {"error": {"message": "out of memory"}}'], 200, "endpoint.refused"),
        ([piece("Mira")], 200, "endpoint.cut"),
        (["data: {"], 200, "endpoint.unread"),
        (["data: 7", "data: [DONE]"], 200, "endpoint.unread"),
    ],
)
def test_what_goes_wrong_is_said_in_its_column_without_the_key(lines, status, code):
    with answering(lines, status) as (_, endpoint):
        last = said(endpoint)[-1]
    assert isinstance(last.error, UserError) and last.error.problem.code == code
    assert KEY not in str(last.error)


def test_nobody_there_is_said():
    assert (
        said(Endpoint(name="far", url="http://127.0.0.1:9/v1", model="x"))[-1].error.problem.code
        == "endpoint.unreachable"
    )


def test_stop_does_not_wait_for_an_endpoint_that_says_nothing():
    stop, holds = threading.Event(), threading.Event()
    with answering([piece("Mira")], holds=holds) as (_, endpoint):
        voice = voice_of(Side(who="endpoint", endpoint="far"), None, None, [endpoint])
        for (text,) in Replies([(voice, TALK)], Decoding(), stop):
            if text:
                stop.set()
        assert text == "Mira" and text.why == "cancelled" and not text.is_whole
        holds.set()


def test_a_name_that_is_not_in_the_settings_is_refused():
    voice = voice_of(Side(who="endpoint", endpoint="other"), None, None, [])
    *_, (last,) = [*Replies([(voice, TALK)], Decoding())] or [Replies([(voice, TALK)], Decoding()).said()]
    assert last.error.problem.code == "endpoint.unknown"
    with refused("endpoint.elsewhere"):
        here_of(Side(who="endpoint", endpoint="other"), None, None)


@pytest.mark.slow
def test_our_own_endpoint_answers_as_the_run_does(tmp_path):
    shutil.copytree(OLD / "finished", tmp_path / "runs" / "finished")
    with served(tmp_path, sessions=ModelPool) as site:
        texts = said(Endpoint(name="far", url=f"http://127.0.0.1:{site.port}/v1/", model="finished"))
    assert texts[-1] == "Mira lives in the green house on Orchard Lane."


def test_endpoints_are_read_from_the_settings_and_their_keys_are_told_nowhere(tmp_path):
    told = [{"name": "far", "url": "https://example.org/v1", "model": "big", "key": KEY}]
    here = {"QLORA_APP_HOME": str(tmp_path)}
    settings = Settings.from_environment(here | {"QLORA_APP_ENDPOINTS": json.dumps(told)})
    assert settings.endpoints[0].key.get_secret_value() == KEY and KEY not in repr(settings)
    for wrong in ("[", json.dumps([{"key": KEY}]), json.dumps([told[0] | {"url": "file:///etc"}])):
        with refused("settings.wrong") as refusal:
            Settings.from_environment(here | {"QLORA_APP_ENDPOINTS": wrong})
        assert KEY not in str(refusal.value) and "QLORA_APP_ENDPOINTS" in str(refusal.value)
