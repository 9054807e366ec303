"""The page behind the real nginx and Caddy, as docs/proxies has them: only ports and certificates are changed."""

import contextlib
import getpass
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from qlora_app.ui.door.origins import Origins
from tests.fixtures.page import PROOF, make_run
from tests.fixtures.serving import served

DOCS = Path(__file__).parents[1] / "docs" / "proxies"
BCRYPT = "$2b$04$h6N9fDJN5GrCG4f0e1yk4.lN7VqpglTsI99fN6UFZ2luSyq/o2RXC"  # of "correct horse", at a test's cost
LOGIN = {"username": "ada", "password": "correct horse"}


def a_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def nginx(folder, port, behind, edit):
    text = (DOCS / "nginx.conf").read_text()
    text = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", text)
    text = re.sub(r"ssl_certificate\S* \S+;", "", text)
    text = edit(text.replace("127.0.0.1:7860", f"127.0.0.1:{behind}"))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"user {getpass.getuser()}; daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}} http {{ access_log off;\n{temporary}{text}\n}}"
    )
    return ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)]


def caddy(folder, port, behind, edit):
    text = (DOCS / "Caddyfile").read_text().replace("127.0.0.1:7860", f"127.0.0.1:{behind}")
    text = re.sub(r"^example.org \{", f"http://example.org:{port} {{\n\tbind 127.0.0.1", text, flags=re.MULTILINE)
    config = folder / "Caddyfile"
    config.write_text(edit("{\n\tadmin off\n\tauto_https off\n}\n" + text))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextlib.contextmanager
def behind(name, folder, edit=lambda text: text, **settings):
    """The app with a proxy in front; the client asks the proxy under its public name."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {name})")
    port = a_port()
    url = f"http://example.org:{port}/guanaco"
    told = {"public_url": url, "proxies": "127.0.0.1"} | settings
    with served(folder / "home", max_upload_mb=20, **told) as site:
        command = PROXIES[name](folder, port, site.port, edit)
        with open(folder / "proxy.log", "wb") as log:
            proxy = subprocess.Popen(
                command, stdout=log, stderr=log, env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin"}
            )
        try:
            transport = httpx.HTTPTransport()
            site.proxy = httpx.Client(transport=Named(transport, port), base_url=url, timeout=20, follow_redirects=True)
            wait_for_it(site.proxy, folder / "proxy.log")
            site.url, site.origin = url, f"http://example.org:{port}"
            yield site
        finally:
            site.proxy.close()
            proxy.send_signal(signal.SIGTERM if name == "nginx" else signal.SIGKILL)
            proxy.wait(timeout=10)


class Named(httpx.BaseTransport):
    """Asks 127.0.0.1, whatever the host of a url is called."""

    def __init__(self, transport, port):
        self.transport, self.port = transport, port

    def handle_request(self, request):
        url = request.url.copy_with(host="127.0.0.1", port=self.port)
        return self.transport.handle_request(
            httpx.Request(
                request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
            )
        )


def wait_for_it(client, log):
    for _ in range(100):
        with contextlib.suppress(httpx.HTTPError):
            client.get("/")
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.mark.slow
@pytest.mark.machine
@pytest.mark.parametrize("name", PROXIES)
def test_the_page_works_below_a_path_of_a_proxy(name, tmp_path):
    with behind(name, tmp_path, user="ada", password="correct horse") as site:
        run = make_run(RunStore(tmp_path / "home" / "runs"), name="shown", proof=PROOF)
        own = {"Origin": site.origin}
        assert site.proxy.get("").url.path == "/guanaco/"
        assert site.proxy.post("/login", data=LOGIN, headers=own).status_code == 200
        page, config = site.proxy.get("/").text, site.proxy.get("/config").json()
        assert config["root"] == site.url and site.url in page
        for asset in re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', page)[:3]:
            assert site.proxy.get(f"/{asset.split('/guanaco/')[-1].lstrip('./')}").status_code == 200, asset
        upload = site.proxy.post("/gradio_api/upload", files={"files": ("a.jsonl", b"x" * 15_000_000)}, headers=own)
        assert upload.status_code == 200 and upload.json()
        assert site.proxy.post("/gradio_api/upload", files={"files": ("a.jsonl", b"x" * 25_000_000)}).status_code == 413
        ask = next(n for n, fn in site.demo.fns.items() if fn.fn and fn.fn.__qualname__ == "ChatTab.ask")
        visit = next(n for n, fn in site.demo.fns.items() if "restore" in getattr(fn.fn, "__qualname__", ""))
        body = {"fn_index": visit, "data": [None] * len(site.demo.fns[visit].inputs), "session_hash": "behind"}
        assert site.proxy.post("/gradio_api/run/predict", json=body, headers=own).status_code == 200
        data = [run.id if one.elem_id == "room" else None for one in site.demo.fns[ask].inputs]
        clicked = {"asking": "1", "question": "Who?", "before": []}
        body = {"fn_index": ask, "data": data, "session_hash": "behind", "event_data": clicked}
        assert site.proxy.post("/gradio_api/queue/join", json=body, headers=own).status_code == 200
        with site.proxy.stream("GET", "/gradio_api/queue/data?session_hash=behind") as stream:
            said = [line for line in stream.iter_lines() if line]
        assert any("tuned one two three" in line for line in said)
        with site.proxy.stream("GET", "/gradio_api/heartbeat/behind") as stream:
            assert "ALIVE" in next(stream.iter_lines()), "nothing is held back until there is more"
        evil = {"Origin": "http://evil.example"}
        assert site.proxy.post("/gradio_api/run/predict", json=body, headers=evil).status_code == 403


@pytest.mark.slow
@pytest.mark.machine
@pytest.mark.parametrize("name", PROXIES)
def test_the_visitor_s_own_address_is_counted(name, tmp_path, monkeypatch):
    seen = []
    read = Origins.read
    monkeypatch.setattr(Origins, "read", lambda *given: seen.append(read(*given)) or seen[-1])
    with behind(name, tmp_path, user="ada", password="correct horse") as site:
        seen.clear()
        site.proxy.get("/", headers={"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example"})
        assert [(one.client, one.by_proxy, one.host) for one in seen] == [
            ("127.0.0.1", True, site.origin.removeprefix("http://"))
        ]


@pytest.mark.slow
@pytest.mark.machine
@pytest.mark.parametrize("host", ["", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;"])
def test_nginx_may_send_any_host(host, tmp_path):
    """Its default is the address behind it."""

    def edit(text):
        return text.replace("proxy_set_header Host $host;", host)

    with behind("nginx", tmp_path, edit, user="ada", password="correct horse") as site:
        own = {"Origin": site.origin}
        assert site.proxy.post("/login", data=LOGIN, headers=own).status_code == 200
        assert site.proxy.get("/config").json()["root"] == site.url


@pytest.mark.slow
@pytest.mark.machine
def test_a_path_that_nginx_leaves_in_place_is_taken_away(tmp_path):
    def edit(text):
        return re.sub(r"(proxy_pass http://127.0.0.1:\d+)/;", r"\1;", text)

    with behind("nginx", tmp_path, edit, user="ada", password="correct horse") as site:
        assert site.proxy.post("/login", data=LOGIN).status_code == 200
        assert site.proxy.get("/config").json()["root"] == site.url


@pytest.mark.slow
@pytest.mark.machine
def test_a_page_for_this_machine_is_not_brought_to_others_by_a_proxy(tmp_path):
    """Without a word of it in the settings nginx would make every stranger its owner."""
    bare = {"public_url": None, "proxies": None}
    for text in ("", "proxy_set_header Host $host;"):

        def edit(config, text=text):
            kept = re.sub(r"proxy_(set_header|http_version) [^;]+;", "", config)
            return kept.replace("proxy_buffering", f"{text} proxy_buffering")

        with behind("nginx", tmp_path, edit, **bare) as site:
            answer = site.proxy.get("/")
            assert answer.status_code == 403 and "QLORA_APP_PUBLIC_URL" in answer.text


def logging_in(name, folder):
    """The proxy's file, so that it asks for a password and says whose it was."""
    if name == "caddy":
        people = "".join(f"\n\t\t\t{user} {BCRYPT}" for user in ("ada", "rob"))
        put = f"handle_path /guanaco/* {{\n\t\tbasicauth {{{people}\n\t\t}}"
        said = "header_up X-Forwarded-User {http.auth.user.id}"
        return lambda text: text.replace("handle_path /guanaco/* {", put).replace("header_up -X-Forwarded-User", said)
    people = folder / "people"
    people.write_text("ada:{PLAIN}correct horse\nrob:{PLAIN}correct horse\n")
    login = f"auth_basic here; auth_basic_user_file {people};"
    return lambda text: text.replace('X-Forwarded-User "";', f"X-Forwarded-User $remote_user; {login}")


@pytest.mark.slow
@pytest.mark.machine
@pytest.mark.parametrize("name", PROXIES)
def test_whom_a_proxy_logs_in_is_believed_and_nobody_who_says_so(name, tmp_path):
    """As docs/proxies has it: the header is the proxy's own, whatever a browser sends."""
    own = {"user": "ada", "password": "correct horse", "login_header": "X-Forwarded-User", "others": "visitor"}
    said = {"X-Forwarded-User": "ada", "X_Forwarded_User": "ada"}
    with behind(name, tmp_path, logging_in(name, tmp_path), **own) as site:
        assert site.proxy.get("/config", auth=("ada", "wrong")).status_code == 401
        for user, status in (("ada", 200), ("rob", 403)):
            asked = {"auth": (user, "correct horse"), "headers": said | {"Origin": site.origin}}
            brought = site.proxy.post("/gradio_api/upload", files={"files": ("a.jsonl", b"{}")}, **asked)
            assert brought.status_code == status, user
        elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")  # no named proxy has that address
        with httpx.Client(transport=elsewhere, base_url=f"http://127.0.0.1:{site.port}") as direct:
            forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "Forwarded": "for=127.0.0.1"}
            assert direct.get("/config", headers=said | forwarded).status_code == 401
    with behind(name, tmp_path, **own) as site:
        assert site.proxy.get("/config", headers=said).status_code == 401


def test_a_page_that_a_proxy_brings_to_others_is_a_demonstration_without_a_login():
    assert Settings(public_url="https://example.org").is_demonstration
    assert Settings(proxies="127.0.0.1").is_demonstration
    assert not Settings(public_url="https://example.org", user="ada", password="x").is_demonstration


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        (None, "1.2.3.4", "10.0.0.9"),
        ("127.0.0.1", "1.2.3.4", "10.0.0.9"),
        ("10.0.0.0/8", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "6.6.6.6, 1.2.3.4, 10.2.2.2", "1.2.3.4"),
        ("10.0.0.0/8", "6.6.6.6, nonsense", "10.0.0.9"),
        ("10.0.0.0/8", "6.6.6.6, nonsense, 10.1.1.1", "10.1.1.1"),
        ("10.0.0.0/8", "[2001:db8::1]:44", "2001:db8::1"),
        ("10.0.0.9", "1.2.3.4:5555", "1.2.3.4"),
        ("10.0.0.9", "", "10.0.0.9"),
    ],
)
def test_only_named_proxies_are_believed(proxies, forwarded, client):
    origins = Origins(Settings(host="0.0.0.0", proxies=proxies))
    headers = {b"host": "a.example", b"x-forwarded-for": forwarded, b"x-forwarded-proto": "https"}
    came = origins.read({"client": ("10.0.0.9", 1), "scheme": "http"}, headers)
    assert came.client == client and (came.scheme == "https") == came.by_proxy
