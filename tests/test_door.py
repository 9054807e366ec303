"""What one visitor may ask for, how much of it, and how fast: a served page as a program of a stranger meets it."""

import asyncio
import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from qlora_app.inference.writing import Said
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from qlora_app.ui.chat.line import AT_ONCE
from qlora_app.ui.door import bodies, connections, logins, origins, routes, visitors
from tests.conftest import wait_for
from tests.coroutines import in_a_thread
from tests.fixtures.page import PROOF, FakeSessions, FakeWriting, make_run
from tests.fixtures.serving import served


class SlowSessions(FakeSessions):
    """Answers twenty words in a second, and counts what was asked and what was answered to the end."""

    begun, ended, at_once, most_at_once = [], [], 0, 0
    may_go_on = threading.Event()  # behind the first word of an answer
    may_go_on.set()

    def write(self, conversation, sampling, *, base, stop, into, **how):
        writing = FakeWriting(stop)
        if base:
            into.put((writing, Said("base", is_whole=True)))
        else:
            threading.Thread(target=self._speak, args=(str(conversation[-1]["content"]), writing, stop, into)).start()
        return writing

    def _speak(self, question, writing, stop, into):
        kind = SlowSessions
        kind.at_once += 1
        kind.most_at_once = max(kind.most_at_once, kind.at_once)
        kind.begun.append(question)
        said = Said("")
        for count in range(1, 21):
            if stop.is_set():
                break
            time.sleep(0.05)
            said = Said("tuned " * count)
            into.put((writing, said))
            kind.may_go_on.wait(120)
        else:
            kind.ended.append(question)
        kind.at_once -= 1
        into.put((writing, Said(said, is_whole=True)))


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A demonstration whose model takes a second for an answer."""
    home = tmp_path_factory.mktemp("public")
    run = make_run(RunStore(home / "runs"), name="shown", proof=PROOF)
    with served(home, sessions=SlowSessions, host="0.0.0.0") as public:
        public.run = run
        public.ask = next(n for n, fn in public.demo.fns.items() if fn.fn and fn.fn.__qualname__ == "ChatTab.ask")
        yield public


@pytest.fixture
def asked():
    SlowSessions.begun, SlowSessions.ended, SlowSessions.most_at_once = [], [], 0
    return SlowSessions


class Visitor:
    """A browser: it opens the page, listens and asks."""

    def __init__(self, public, session, opens=True, client=None):
        self.public, self.session = public, session
        self.client = client or httpx.Client(base_url=f"http://127.0.0.1:{public.port}", timeout=120)
        if opens:
            self.client.get("/")
            restore = next(n for n, fn in public.demo.fns.items() if "restore" in getattr(fn.fn, "__qualname__", ""))
            self.client.post("/gradio_api/run/predict", json=self.body(restore, []))

    def body(self, number, data, **event):
        return {"fn_index": number, "data": data, "session_hash": self.session, "event_data": event}

    def join(self, question):
        inputs = self.public.demo.fns[self.public.ask].inputs
        data = [self.public.run.id if one.elem_id == "room" else None for one in inputs]
        body = self.body(self.public.ask, data, asking="1", question=question, before=[])
        return self.client.post("/gradio_api/queue/join", json=body)

    def hear(self, until="process_completed", most=120.0):
        """What is said to it, until a word is in it."""
        said, end = [], time.monotonic() + most
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                said.append(line)
                if until in line or time.monotonic() > end:
                    break
        return said

    def answer(self, question):
        """(is it answered, what was said)"""
        joined = self.join(question)
        if joined.status_code != 200:
            return False, [joined.text]
        said = self.hear()
        return any("tuned tuned" in line for line in said), said


def settle(public):
    """Wait until nothing is being answered any more."""
    wait_for(lambda: not public.demo._queue.event_ids_to_events)


# ---- the queue


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [1, 200])
def test_a_flood_of_questions_holds_up_nobody_for_long(public, asked, sessions):
    settle(public)
    first = Visitor(public, f"flood{sessions}")
    flood = [first, *(Visitor(public, f"flood-{n}", opens=False, client=first.client) for n in range(1, sessions))]
    honest = Visitor(public, f"honest{sessions}")
    with ThreadPoolExecutor(20) as many:
        joined = list(many.map(lambda n: flood[n % sessions].join(f"flood {n}"), range(200)))
    already = len(asked.begun)
    answered, said = honest.answer("honest?")
    assert answered, said[-3:]
    assert asked.begun.index("honest?") - already < 40, "not many of the two hundred come before it"
    settle(public)
    if sessions == 1:
        refused = [one.text for one in joined if one.status_code == 400]
        assert len(refused) > 140 and all("still being answered" in one for one in refused)
    assert asked.most_at_once <= AT_ONCE and "honest?" in asked.ended
    assert len([one for one in asked.ended if one.startswith("flood")]) <= 6 * AT_ONCE, (
        "what nobody hears is not computed"
    )


@pytest.mark.slow
def test_who_waits_is_told_how_many_are_before_them(public, asked):
    settle(public)
    earlier = [Visitor(public, f"earlier{n}") for n in range(AT_ONCE)]
    last = Visitor(public, "last")
    with ThreadPoolExecutor(AT_ONCE) as many:
        listening = [many.submit(one.answer, "earlier?") for one in earlier]
        deadline = time.monotonic() + 20
        while len(asked.begun) < AT_ONCE and time.monotonic() < deadline:
            time.sleep(0.02)
        answered, said = last.answer("last?")
    assert answered and all(one.result()[0] for one in listening)
    assert asked.begun == [*["earlier?"] * AT_ONCE, "last?"] and asked.most_at_once == AT_ONCE
    assert any("One question is before yours" in line for line in said)


@pytest.mark.slow
@pytest.mark.parametrize(("patience", "told"), [(60.0, "tuned " * 20), (0.0, "before this answer was whole")])
def test_a_page_that_is_ended_lets_answers_end_and_says_what_it_cuts_off(public, asked, patience, told):
    settle(public)
    visitor, late = Visitor(public, f"last-{patience}"), Visitor(public, f"late-{patience}")
    assert public.client.get("/readyz").json()["missing"] == []
    asked.may_go_on.clear()
    with ThreadPoolExecutor(2) as many:
        try:
            assert visitor.join("go on?").status_code == 200
            listening = many.submit(visitor.hear)
            wait_for(lambda: asked.begun)
            closing = many.submit(public.demo.last_words, patience)
            wait_for(lambda: public.client.get("/readyz").status_code == 503)
            refused = late.join("me too?")
            if patience:
                asked.may_go_on.set()
            closing.result()
            said = listening.result()
        finally:
            asked.may_go_on.set()
            public.demo.last_words.__self__.visitors.is_closing = False
    assert refused.status_code == 400 and "started anew" in refused.text and asked.begun == ["go on?"]
    assert any(told.strip() in line for line in said), said[-2:]
    settle(public)


@pytest.mark.slow
def test_who_stops_listening_is_not_answered_to_the_end(public, asked):
    settle(public)
    gone = Visitor(public, "gone")
    assert gone.join("still there?").status_code == 200
    gone.hear(until="tuned")
    gone.client.close()
    settle(public)
    assert asked.begun == ["still there?"] and asked.ended == []


@pytest.mark.slow
def test_nobody_stops_or_hears_another_s_answer(public, asked):
    settle(public)
    mine, stranger = Visitor(public, "mine"), Visitor(public, "stranger")
    joined = mine.join("mine?").json()
    for path, body in (
        ("cancel", {"session_hash": "mine", "fn_index": public.ask, "event_id": joined["event_id"]}),
        ("queue/join", {"session_hash": "mine", "fn_index": public.ask, "data": []}),
        ("run/predict", {"session_hash": "mine", "fn_index": public.ask, "data": []}),
        ("component_server", {"session_hash": "mine", "component_id": 1, "fn_name": "poll", "data": {}}),
    ):
        assert stranger.client.post(f"/gradio_api/{path}", json=body).status_code == 403, path
    for path in ("queue/data?session_hash=mine", "heartbeat/mine"):
        assert stranger.client.get(f"/gradio_api/{path}").status_code == 403, path
    assert any("tuned tuned" in line for line in mine.hear())


@pytest.mark.slow
def test_who_looks_at_several_runs_while_a_model_loads_may_ask(public, asked, monkeypatch):
    settle(public)
    may_load, loaded = threading.Event(), []

    def load(self, run, step=None):
        may_load.wait(20)
        loaded.append(run.id)
        return self

    monkeypatch.setattr(SlowSessions, "get", load)
    warm_up = [n for n, fn in public.demo.fns.items() if getattr(fn.fn, "__qualname__", "") == "ChatTab.warm_up"]
    seeker = Visitor(public, "seeker")

    def look(number):
        body = seeker.body(warm_up[number % len(warm_up)], [public.run.id])
        joined = seeker.client.post("/gradio_api/queue/join", json=body)
        assert joined.status_code == 200, joined.text
        time.sleep(0.6)

    with ThreadPoolExecutor(1) as ear:
        look(0)
        listening = ear.submit(seeker.hear, until="tuned tuned")
        for number in range(1, 6):
            look(number)
        assert loaded == []
        assert seeker.join("which?").status_code == 200
        may_load.set()
        assert "tuned tuned" in listening.result()[-1]
    assert len(loaded) <= 4, "the first one, the newest one, and both columns of the question"


# ---- how much, how slowly


def chunked(size):
    yield b'{"fn_index": 0, "data": ["'
    for _ in range(size // 100_000):
        yield b"x" * 100_000
    yield b'"], "session_hash": "large"}'


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["queue/join", "run/predict", "cancel", "component_server", "reset", "upload", "process_recording"]
)
def test_a_large_body_is_refused_before_it_is_read(public, path):
    large = bodies.OF_A_VISITOR * 5
    for headers in ({"content-type": "application/json"}, {"content-type": "text/plain"}, {}):
        answer = public.client.post(f"/gradio_api/{path}", content=chunked(large), headers=headers)
        assert answer.status_code in (403, 413), path
    said = {"content-type": "application/json", "content-length": str(10**12)}
    with socket.create_connection(("127.0.0.1", public.port)) as raw:
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        raw.sendall(f"POST /gradio_api/{path} HTTP/1.1\r\nhost: 127.0.0.1:{public.port}\r\n{head}\r\n".encode())
        assert raw.recv(100).split()[1] in (b"403", b"413")


@pytest.mark.slow
def test_before_a_login_no_large_body_is_taken(tmp_path):
    with served(tmp_path, host="0.0.0.0", user="ada", password="correct horse") as site:
        assert site.client.post("/login", data={"username": "x" * 100_000, "password": "x"}).status_code == 413
        for path in [path for path, who in routes.ROUTES.items() if who == "anybody"]:
            answer = site.client.post(path, content=b"x" * 100_000)
            assert answer.status_code == 413, path


def piece_by_piece(pieces, seconds=0.0):
    """What a server hands on of a body; without more it waits."""
    given = iter(pieces)

    async def receive():
        await asyncio.sleep(seconds)
        if (piece := next(given, None)) is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    return receive


def read(held, address, pieces, limit=1000, is_patient=False, seconds=0.0):
    """(the body, "" where it was refused)"""

    async def reading():
        with bodies.Body(held, address) as body:
            return await body.read(piece_by_piece(pieces, seconds), limit, is_patient)

    return in_a_thread(reading())


def test_all_that_is_sent_at_once_is_bounded(monkeypatch):
    monkeypatch.setattr(bodies, "OF_ALL", 150_000)
    held = bodies.Held(of_address=100_000)
    large = [b"x" * 90_000, b""]
    with contextlib.ExitStack() as others:

        async def hold(address, pieces):
            body = others.enter_context(bodies.Body(held, address))
            await body.read(piece_by_piece(pieces), 200_000, False)

        in_a_thread(hold("a", large))
        for address in ("a", "b"):  # its own bound, and that of all
            with pytest.raises(bodies.TooMuchError) as refused:
                read(held, address, large, limit=200_000)
            assert refused.value.status == 429
        assert read(held, "a", [b"a click", b""]) == b"a click"
    assert read(held, "b", large, limit=200_000) == large[0]
    assert held._bytes.total() == 0


def test_only_a_visitor_has_to_send_a_whole_text_at_once(monkeypatch):
    monkeypatch.setattr(bodies, "SECONDS", 0.2)
    slowly = [b"x"] * 10 + [b""]
    held = bodies.Held(1000)
    assert read(held, "a", slowly, is_patient=True, seconds=0.05) == b"x" * 10
    for pieces, is_patient in ((slowly, False), ([b"x"], True)):
        with pytest.raises(bodies.TooMuchError) as refused:
            read(held, "a", pieces, is_patient=is_patient, seconds=0.05)
        assert refused.value.status == 408


@pytest.mark.slow
def test_a_refusal_of_what_is_all_there_comes_at_once(public, monkeypatch):
    monkeypatch.setattr(bodies, "DRAINING", 60.0)
    mine, stranger = Visitor(public, "all-mine"), Visitor(public, "all-stranger")
    begun = time.monotonic()
    for path in ("cancel", "reset"):
        assert stranger.client.post(f"/gradio_api/{path}", json=mine.body(1, [])).status_code == 403
    assert time.monotonic() - begun < bodies.DRAINING / 2


@pytest.mark.slow
def test_what_comes_too_slowly_is_ended(public, monkeypatch):
    monkeypatch.setattr(bodies, "SECONDS", 0.5)
    monkeypatch.setattr(connections, "SECONDS", 0.5)
    head = f"POST /gradio_api/run/predict HTTP/1.1\r\nhost: 127.0.0.1:{public.port}\r\ncontent-length: 50\r\n"
    for sent in (head, f"{head}\r\n{{", "GET"):
        # Sooner than in the 20 and 30 seconds that it would have otherwise.
        with socket.create_connection(("127.0.0.1", public.port), timeout=15) as raw:
            raw.sendall(sent.encode())
            answer = raw.recv(1000)
            assert not answer or b" 408 " in answer, sent


@pytest.mark.slow
def test_headers_without_end_are_refused(public):
    with socket.create_connection(("127.0.0.1", public.port), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        try:
            for n in range(20_000):
                raw.sendall(f"x-{n}: {'y' * 100}\r\n".encode())
            answer = raw.recv(1000)
        except ConnectionError:
            answer = b""
    assert not answer or b" 400 " in answer or b" 431 " in answer


def test_websockets_are_not_taken(public):
    head = (
        f"GET /gradio_api/queue/data HTTP/1.1\r\nhost: 127.0.0.1:{public.port}\r\nconnection: upgrade\r\n"
        "upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", public.port), timeout=10) as raw:
        raw.sendall(head.encode())
        assert b" 101 " not in raw.recv(1000)


def test_connections_are_bounded_in_all_and_whoever_has_most_loses_one():
    held = connections.Held(of_all=10, of_one=6)
    assert [held.add("one", f"one {n}", False) for n in range(7)] == [[]] * 6 + [["one 6"]]
    assert [held.add(f"other {n}", n, False) for n in range(4)] == [[]] * 4
    assert held.add("honest", "mine", False) == ["one 5"], "not of those who have few"
    assert held.add("proxy", "many", True) == ["one 4"]
    held.remove("one", "one 4")  # it is told once more when it has ended
    held.remove("honest", "mine")
    assert held.add("honest", "again", False) == []
    assert sum(len(those) for those in held._open.values()) == 10
    assert 0 < connections.most_at_once() <= connections.MOST_OF_ALL


@pytest.mark.slow
def test_the_server_ends_connections_beyond_its_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "MOST_OF_ALL", 20)
    with served(tmp_path) as site, contextlib.ExitStack() as opened:
        many = [opened.enter_context(socket.create_connection(("127.0.0.1", site.port))) for _ in range(40)]
        ended = 0
        for one in many:
            one.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                ended += 1 if not read_or_nothing(one) else 0
        assert ended >= 20


def read_or_nothing(connection):
    try:
        return connection.recv(1)
    except ConnectionError:
        return b""


# ---- sessions


def test_sessions_belong_to_the_browser_that_named_them_first():
    seen = visitors.Visitors()
    assert seen.claim("a", "mark", "10.0.0.1") == "" == seen.claim("a", "mark", "10.0.0.2"), (
        "a phone changes its address"
    )
    assert seen.claim("a", "other", "10.0.0.1") and seen.claim("a", "", "10.0.0.1")
    assert seen.claim("b", "", "10.0.0.1") == "" and seen.claim("b", "", "10.0.0.2")
    assert seen.claim("b", "new", "10.0.0.1") == "" and seen.claim("b", "", "10.0.0.1"), "another page was given a mark"
    assert seen.claim("x" * 500, "mark", "10.0.0.1")


def test_sessions_are_not_kept_without_bound():
    seen = visitors.Visitors()
    for number in range(3 * visitors.MOST_OF_ONE):
        assert seen.claim(f"s{number}", "", "10.0.0.1") == ""
    assert len(seen._sessions) <= visitors.MOST_OF_ONE
    for number in range(visitors.MOST_SESSIONS + 100):
        seen.claim(f"t{number}", "", f"10.{number // 250 % 250}.{number % 250}.1")
    assert len(seen._sessions) <= visitors.MOST_SESSIONS and len(seen._heard) <= visitors.MOST_SESSIONS


def test_nobody_listens_for_ever_with_many_ears():
    seen = visitors.Visitors()
    assert [bool(seen.listen(f"s{n}", "::1")) for n in range(visitors.MOST_STREAMS + 1)].count(True) == 1
    seen.leave("s0", "::1")
    assert seen.listen("again", "::1") == ""


# ---- logins


def guesses(limiter, clients, device="", right=()):
    """How many of many tries at once are passed on."""

    async def one(number, client):
        if not await asyncio.wait_for(limiter.may_try(client, device), 20):
            return False
        await asyncio.sleep(0.01)
        limiter.ended(client, device, number in right)
        return True

    async def all_of_them():
        return await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))

    return in_a_thread(all_of_them())


def test_of_a_hundred_guesses_at_once_few_are_tried(monkeypatch):
    monkeypatch.setattr(logins, "FIRST_WAIT", 0.01)
    assert sum(guesses(logins.LoginLimiter(), ["10.0.0.1"] * 100)) <= logins.FREE + logins.WAITING
    many = [f"10.0.{n // 250}.{n % 250}" for n in range(500)]
    assert sum(guesses(logins.LoginLimiter(), many)) == logins.OVERALL
    neighbours = [f"2001:db8:1:2::{n}" for n in range(1, 101)]
    assert sum(guesses(logins.LoginLimiter(), neighbours)) <= logins.FREE + logins.WAITING


def test_a_known_device_is_not_locked_out_by_others(monkeypatch, tmp_path):
    monkeypatch.setattr(logins, "FIRST_WAIT", 100.0)
    limiter = logins.LoginLimiter(tmp_path / "key")
    device = limiter.new_device()
    guesses(limiter, [f"10.0.{n // 250}.{n % 250}" for n in range(500)])
    guesses(limiter, ["10.0.0.1"] * logins.FREE)
    assert guesses(limiter, ["10.0.0.1"], device, right=[0]) == [True]
    again = logins.LoginLimiter(tmp_path / "key")
    assert again.knows(device) and not again.knows(device + "0") and not again.knows("x.99999999999.y")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_the_owner_gets_in_after_wrong_passwords_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(logins, "FIRST_WAIT", 0.5)
    with served(tmp_path, host="0.0.0.0", user="ada", password="correct horse") as site:
        right = {"username": "ada", "password": "correct horse"}
        for number in range(5):
            made_up = {"X-Forwarded-For": f"10.0.0.{number}"}
            guess = {"username": "ada", "password": f"guess {number}"}
            assert site.client.post("/login", data=guess, headers=made_up).status_code == 400
        guess = {"username": "ada", "password": "guess 6"}
        assert site.client.post("/login", data=guess, headers={"X-Forwarded-For": "10.0.0.9"}).status_code == 429
        with httpx.Client(base_url=site.client.base_url, timeout=20) as owner:
            answer = owner.post("/login", data=right)
            assert answer.status_code == 200
            given = answer.headers.get_list("set-cookie")
            assert len(given) == 2 and all("HttpOnly" in one and "SameSite=Lax" in one for one in given)
            assert owner.get("/config").status_code == 200
        for path in ("/gradio_api/heartbeat/x", "/gradio_api/user", "/gradio_api/queue/status"):
            assert site.client.get(path).status_code == 401, path


ODD_COOKIES = ('prefs={"a": [1, 2]}', "x[]=1", "@id=2", "ä=1", "=", "a;;b", 'open="quote', "Path", "q=a,b; version")


@pytest.mark.slow
def test_cookies_of_other_pages_on_the_host_lock_nobody_out(tmp_path):
    with served(tmp_path, host="0.0.0.0", user="ada", password="correct horse") as site:
        site.client.post("/login", data={"username": "ada", "password": "correct horse"})
        own = "; ".join(f"{name}={value}" for name, value in site.client.cookies.items())
        site.client.cookies.clear()
        for odd in ODD_COOKIES:
            for sent in ([f"{odd}; {own}"], [f"{own}; {odd}"], [odd, own], [own, odd]):
                headers = [("cookie", one.encode()) for one in sent]
                assert site.client.get("/config", headers=headers).status_code == 200, sent


@pytest.mark.slow
def test_who_comes_back_keeps_the_mark_for_longer(public):
    with httpx.Client(base_url=public.client.base_url, timeout=20) as client:
        first, again = (client.get("/").headers["set-cookie"] for _ in range(2))
        assert first == again and "Max-Age=" in again
        for odd in ("x", '"a\\073 Domain=b"', "a" * 5000):
            given = client.get("/", headers={"cookie": f"{visitors.COOKIE}={odd}"}).headers["set-cookie"]
            assert given.startswith(f"{visitors.COOKIE}=") and f"={odd};" not in given and "Domain" not in given


@pytest.mark.parametrize(
    "public_url, own, foreign",
    [
        ("https://Example.ORG/guanaco", "https://example.org", "https://example.org.evil.net"),
        ("https://example.org:443", "https://example.org", "https://example.org:444"),
        ("http://example.org:80", "http://example.org", "http://example.org:443"),
        ("http://example.org:8080", "http://example.org:8080", "http://example.org"),
        ("HTTPS://[2001:DB8::1]:443", "https://[2001:db8::1]", "https://[2001:db8::2]"),
        ("https://bücher.example", "https://xn--bcher-kva.example", "https://bcher.example"),
    ],
)
def test_a_public_address_may_be_written_as_people_write_it(public_url, own, foreign):
    read = origins.Origins(Settings(host="0.0.0.0", public_url=public_url))
    scope = {"client": ("10.0.0.1", 1), "scheme": "http", "headers": []}
    for origin, is_refused in ((own, False), (foreign, True), ("null", True), ("https://[", True)):
        headers = {b"host": "inner:7860", b"origin": origin}
        came = read.read(scope, headers)
        assert bool(read.refusal(scope, headers, came)) is is_refused, origin
        assert f"{came.scheme}://{came.host}" == own


@pytest.mark.parametrize("host", ["Example.org", "example.org:80"])
def test_a_host_said_otherwise_than_the_origin_is_the_same_site(host):
    read = origins.Origins(Settings(host="0.0.0.0"))
    scope = {"client": ("10.0.0.1", 1), "scheme": "http", "headers": []}
    headers = {b"host": host, b"origin": "http://example.org"}
    assert read.refusal(scope, headers, read.read(scope, headers)) == ""
