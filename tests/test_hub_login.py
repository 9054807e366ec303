"""The login of a Space with Hugging Face, against a server of our own that speaks OpenID Connect."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urlsplit

import gradio.oauth
import httpx
import pytest
from joserfc import jwk, jwt

import app
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from qlora_app.ui.door.origins import Came
from qlora_app.ui.door.people import People, hub_login_of
from tests.fixtures.page import PROOF, make_run
from tests.fixtures.serving import served

SPACE = {
    "SYSTEM": "spaces",
    "SPACE_ID": "acme/workshop",
    "SPACE_AUTHOR_NAME": "acme",
    "OAUTH_CLIENT_ID": "client",
    "OAUTH_CLIENT_SECRET": "a secret",
    "OAUTH_SCOPES": "openid profile",
}
ACME = {"preferred_username": "acme"}


class Provider:
    """Lets in whoever `who` says."""

    def __init__(self):
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "one"})
        self.who, self.nonce = {}, ""
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self):
                path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                if path == "/authorize":
                    provider.nonce = query["nonce"][0]
                    back = urlencode({"code": "a-code", "state": query["state"][0]})
                    self.send_response(302)
                    joint = "&" if "?" in query["redirect_uri"][0] else "?"
                    self.send_header("location", f"{query['redirect_uri'][0]}{joint}{back}")
                    self.end_headers()
                    return
                self.tell(provider.keys() if path == "/jwks" else provider.described())

            def do_POST(self):
                sent = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                assert sent["code"] == ["a-code"]
                self.tell(provider.token())

            def tell(self, value):
                content = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keys(self):
        return {"keys": [self.key.as_dict(private=False)]}

    def described(self):
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        more = {"issuer": self.url, "id_token_signing_alg_values_supported": ["RS256"]}
        return {name: f"{self.url}/{end}" for name, end in ends.items()} | more

    def token(self):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "client", "sub": "1", "iat": now, "exp": now + 600, "nonce": self.nonce}
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.who, self.key)
        return {"access_token": "x", "token_type": "bearer", "expires_in": 600, "id_token": signed}


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Browser:
    """Keeps cookies though the connection is not encrypted, as a proxy's would be."""

    def __init__(self, port):
        self.client, self.cookies = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60), {}

    def get(self, url):
        answer = self.client.get(url, headers={"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())})
        for one in answer.headers.get_list("set-cookie"):
            name, _, value = one.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def log_in(self):
        """By way of the provider; what the page says last."""
        answer = self.get("/login/huggingface")
        while answer.status_code in (302, 307):
            answer = self.get(answer.headers["location"])
        return answer

    @property
    def name(self):
        return self.get("/config").json().get("username")


@pytest.mark.slow
def test_whoever_logs_in_with_the_hub_is_owner_member_or_visitor(provider, tmp_path, monkeypatch):
    here = SPACE | {"OPENID_PROVIDER_URL": provider.url}
    for name in [one for one in here if hasattr(gradio.oauth, one)]:
        monkeypatch.setattr(gradio.oauth, name, here[name])
    monkeypatch.setattr(gradio.oauth, "get_space", lambda: here["SPACE_ID"])
    monkeypatch.setattr(app, "hub_login_of", lambda _: hub_login_of(here))
    make_run(RunStore(tmp_path / "runs"), name="of the owner", proof=PROOF)
    with served(tmp_path, host="0.0.0.0", others="member") as site:
        nobody = Browser(site.port)
        assert "Log in with Hugging Face" in nobody.get("/login").text
        assert nobody.get("/").status_code == 200 and nobody.client.post("/gradio_api/upload").status_code == 403
        people = SimpleNamespace(
            writer={"preferred_username": "Ann", "orgs": [ACME | {"roleInOrg": "admin"}]},
            reader={"preferred_username": "Rob", "orgs": [ACME | {"roleInOrg": "read"}]},
        )
        for who, is_owner in ((people.writer, True), (people.reader, False)):
            provider.who = who
            browser = Browser(site.port)
            assert browser.log_in().status_code == 200
            files = {"files": ("a.jsonl", "{}")}
            cookie = {"cookie": f"session={browser.cookies['session']}"}
            brought = browser.client.post("/gradio_api/upload", files=files, headers=cookie)
            assert brought.status_code == 200
            assert ("/people/" in brought.json()[0]) != is_owner
        assert [one.name for one in (tmp_path / "members").iterdir()] == ["rob@huggingface"]
        browser.get("/logout")
        assert browser.get("/gradio_api/file=x").status_code == 403
        forged = Browser(site.port)
        forged.cookies["session"] = browser.cookies["session"][:-4] + "AAAA"
        assert forged.client.post("/gradio_api/upload", files={"files": ("a", "b")}).status_code == 403


@pytest.mark.parametrize(
    ("info", "role"),
    [
        ({"preferred_username": "ACME"}, "owner"),
        ({"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": "admin"}]}, "owner"),
        ({"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": "contributor"}]}, None),
        ({"preferred_username": "ada"}, None),  # an account of this server has that name
        ({}, None),
        ({"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": "write"}]}, None),
        ({"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": "admin", "missingMFA": True}]}, None),
        ({"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": "admin", "pendingSSO": True}]}, None),
        ({"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": ["admin"]}, "acme", None]}, None),
        ({"preferred_username": "ann", "orgs": [{"preferred_username": "other", "roleInOrg": "admin"}]}, None),
        ({"preferred_username": "ann", "orgs": {"acme": "admin"}}, None),
    ],
)
def test_who_owns_the_space_is_its_owner(info, role, tmp_path):
    people = People(Settings(home=tmp_path, user="ada", password="correct horse"), hub_owner="acme")
    session = {"oauth_info": {"userinfo": info, "expires_at": time.time() + 60}}
    person = people.of_hub(session)
    assert (person.role if person else None) == role
    assert people.of_hub({"oauth_info": {"userinfo": info, "expires_at": time.time() - 1}}) is None


@pytest.mark.parametrize(
    ("org_writers", "others", "by_role"),
    [
        ("nobody", "nobody", {"write": None, "contributor": None, "read": None, "admin": "owner"}),
        ("nobody", "member", {"write": "member", "contributor": "member", "read": "member", "admin": "owner"}),
        ("member", "nobody", {"write": "member", "contributor": "member", "read": None, "admin": "owner"}),
        ("owner", "visitor", {"write": "owner", "contributor": "owner", "read": "visitor", "admin": "owner"}),
        ("visitor", "member", {"write": "member", "contributor": "member", "read": "member", "admin": "owner"}),
    ],
)
def test_what_they_are_who_write_for_the_organisation_the_settings_say(org_writers, others, by_role, tmp_path):
    people = People(Settings(home=tmp_path, org_writers=org_writers, others=others), hub_owner="acme")
    for role, expected in by_role.items():
        info = {"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": role}]}
        person = people.of_hub({"oauth_info": {"userinfo": info, "expires_at": time.time() + 60}})
        assert (person.role if person else None) == expected, role
    people.accounts.add("ann@huggingface", "visitor", "long enough")
    info = {"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": "write"}]}
    session = {"oauth_info": {"userinfo": info, "expires_at": time.time() + 60}}
    assert people.of_hub(session).role == "visitor", "an account of this server says more than the organisation"


def test_what_opens_without_a_login_ends_with_what_somebody_was_known_by(tmp_path):
    """Who has left the organisation is seen no more: keys and links of theirs end with their last login."""
    people = People(Settings(home=tmp_path, org_writers="member"), hub_owner="acme")
    info = {"preferred_username": "ann", "orgs": [ACME | {"roleInOrg": "write"}]}
    came = Came("1.2.3.4", "https", "x", False)
    assert not people.is_member("ann@huggingface")
    session = {"oauth_info": {"userinfo": info, "expires_at": time.time() + 1000}}
    assert people.person(came, {}, [], {}, session).role == "member" and people.is_member("ann@huggingface")
    people._members_until["ann@huggingface"] = time.time() - 1
    assert not people.is_member("ann@huggingface")
    assert people.person(came, {}, [], {}, session).role == "member" and people.is_member("ann@huggingface")


def test_without_a_secret_nobody_logs_in_with_the_hub():
    """The session would be signed with what everybody knows."""
    whole = SPACE | {"OPENID_PROVIDER_URL": "https://huggingface.co"}
    assert hub_login_of(whole) == "acme"
    for name in ("OAUTH_CLIENT_SECRET", "SYSTEM", "OAUTH_CLIENT_ID"):
        assert hub_login_of({key: value for key, value in whole.items() if key != name}) == ""
