"""The Hub without the Hub: a small server that speaks its HTTP API, well enough for the real client libraries.

Search, model and dataset info at a revision, branches, cards, trees, files with checksums and ranges, gates, private
repositories, refused tokens, too many requests, connections cut off in the middle. It serves what a test puts into it
and remembers what it was asked.
"""

import base64
import functools
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

GOOD, EXPIRED, STRANGER = "hf_goodtokenofthetests", "hf_expiredtokenofthetests", "hf_tokenofsomebodyelse"
LARGE = (".safetensors", ".bin", ".parquet", ".gguf")  # kept outside of git, with a sha256
ROUTE = re.compile(
    r"/api/(models|datasets|spaces)/([\w.-]+/[\w.-]+)(?:/(revision|tree|paths-info)/([^/]+)|/(refs))?(/.*)?"
)
FILE = re.compile(r"/(datasets/|spaces/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repo:
    """One repository: its files at one commit, and who may read them."""

    id: str
    files: dict[str, bytes]
    kind: str = "models"
    gated: bool = False
    private: bool = False
    licence: str = "apache-2.0"
    tags: tuple[str, ...] = ("text-generation",)
    downloads: int = 10
    config: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    others: dict[str, dict[str, bytes]] = field(default_factory=dict)  # files at other branches and tags
    named: set[str] = field(default_factory=set)  # which of them are tags

    @property
    def commit(self) -> str:
        return hashlib.sha1(
            "".join(name + etag(name, content) for name, content in sorted(self.files.items())).encode()
        ).hexdigest()

    def at(self, revision: str) -> "Repo | None":
        """As it is at a branch or a commit; None if there is none of that name."""
        every = {"main": self} | {name: replace(self, files=files, others={}) for name, files in self.others.items()}
        return next((repo for name, repo in every.items() if revision in (name, repo.commit)), None)

    def refs(self) -> dict[str, Any]:
        rows = [
            {
                "name": name.rpartition("/")[2],
                "ref": name if "/" in name else f"refs/heads/{name}",
                "targetCommit": self.at(name).commit,
            }
            for name in ("main", *self.others)
        ]
        branches = [one for one in rows if one["name"] not in self.named]
        return {
            "branches": [one for one in branches if "heads" in one["ref"]],
            "converts": [one for one in branches if "heads" not in one["ref"]],
            "tags": [one | {"ref": f"refs/tags/{one['name']}"} for one in rows if one["name"] in self.named],
        }

    @classmethod
    def of_folder(cls, id: str, folder: Path, **words: Any) -> "Repo":
        return cls(
            id, {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}, **words
        )


@functools.lru_cache(maxsize=1000)
def etag(name: str, content: bytes) -> str:
    """As the Hub: sha256 of a large file, git's checksum of a small one."""
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer(ThreadingHTTPServer):
    """Serves on a free port of this machine until it is closed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Repo] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []  # method, path, headers
        self.bytes_sent: dict[str, int] = {}
        self.cut_after: dict[str, int] = {}  # file -> bytes after which the connection breaks, once
        self.messages: list[str] = []  # of commits
        self.uploaded: dict[str, bytes] = {}  # large files that came, by their SHA-256
        self.cut_uploads = 0  # how many of them break off
        self.before_upload: Callable[[], None] = lambda: None  # called before each of them
        self.writing: int | None = None  # what whatever writes is answered with, while set
        self.role = "write"  # of the good token
        self.loses = ""  # a file that a commit forgets
        self.status: int | None = None  # what every request is answered with, while set
        self.jobs: Any = None  # of Hugging Face Jobs, where a test has them: engines_server.FakeJobs
        self.before_chunk: Callable[[str, int], None] = lambda name, sent: None  # called between chunks of a file
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, repo: Repo) -> Repo:
        self.repos[f"{repo.kind}/{repo.id}"] = repo
        return repo

    def files_asked(self, method: str = "GET") -> list[str]:
        return [path.rpartition("/")[2] for how, path, _ in self.asked if how == method and "/resolve/" in path]

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(("PUT", self.path, {}))
        self.server.before_upload()
        if self.server.cut_uploads:
            self.server.cut_uploads -= 1
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.server.uploaded[hashlib.sha256(self.body).hexdigest()] = self.body
        self._json({})

    def do_DELETE(self) -> None:
        self.body = b""
        place, _, tag = unquote(urlsplit(self.path).path).removeprefix("/api/").rpartition("/tag/")
        self.server.repos[place].others.pop(tag)
        self.server.repos[place].named.discard(tag)
        self._json({})

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        raw = urlsplit(self.path).path
        path = unquote(raw)
        self.server.asked.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        if self.server.status:
            return self._refuse(self.server.status, "", "as the test wishes")
        if path == "/api/whoami-v2":
            return self._whoami()
        if self.server.jobs and (said := self.server.jobs.answer(self.command, self.path, getattr(self, "body", b""))):
            return self._log_of_job() or self._json(said[1], said[0])
        if path in ("/api/models", "/api/datasets"):
            return self._json(self._search(path.rpartition("/")[2], parse_qs(urlsplit(self.path).query)))
        if self.command == "POST" and self._written(path):
            return None
        if found := ROUTE.fullmatch(raw):
            return self._about(*(one and unquote(one) for one in found.groups()))
        if found := FILE.fullmatch(raw):
            return self._file(*(one and unquote(one) for one in found.groups()))
        return self._refuse(404, "", "no such page")

    def _log_of_job(self) -> bool:
        """Was the log of a job asked for? Then it is sent."""
        events = self.server.jobs.log_of(self.path)
        if events is None:
            return False
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(events.encode())))
        self.end_headers()
        self.wfile.write(events.encode())
        return True

    # ---- what is written

    def _written(self, path: str) -> bool:
        """Was it asked to write something? Then it is answered."""
        found = re.fullmatch(r"/api/((?:models|spaces|datasets)/[\w.-]+/[\w.-]+)/(preupload|commit|tag)/.+", path)
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif self.server.writing and (found or (path == "/api/repos/create" and self.server.writing != 409)):
            self._refuse(self.server.writing, "", "as the test wishes")
        elif path == "/api/repos/create":
            self._create(json.loads(self.body))
        elif path.endswith("/info/lfs/objects/batch"):
            self._json({"transfer": "basic", "objects": [self._upload(o) for o in json.loads(self.body)["objects"]]})
        elif found and found[2] == "preupload":
            names = [one["path"] for one in json.loads(self.body)["files"]]
            modes = [{"path": n, "uploadMode": "lfs" if n.endswith(LARGE) else "regular"} for n in names]
            self._json({"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif found and found[2] == "commit":
            self._commit(self.server.repos[found[1]])
        elif found:
            repo = self.server.repos[found[1]]
            is_new = json.loads(self.body)["tag"] not in repo.others
            repo.others.setdefault(json.loads(self.body)["tag"], dict(repo.files))
            repo.named.add(json.loads(self.body)["tag"])
            self._json({}, 200 if is_new else 409)
        else:
            return False
        return True

    def _create(self, asked: dict[str, Any]) -> None:
        id = f"{asked.get('organization') or 'me'}/{asked['name']}"
        kind = f"{asked.get('type') or 'model'}s"
        is_new = f"{kind}/{id}" not in self.server.repos
        if is_new:
            is_private, sdk = asked.get("visibility") == "private", {"sdk": asked.get("sdk")}
            self.server.add(
                Repo(id, {".gitattributes": b""}, kind, private=is_private, card=sdk if "sdk" in asked else {})
            )
        place = id if kind == "models" else f"{kind}/{id}"
        self._json({"url": f"{self.server.url}/{place}", "id": id}, 200 if is_new else 409)

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        there = wanted["oid"] in self.server.uploaded
        return wanted | ({} if there else {"actions": {"upload": {"href": f"{self.server.url}/put/{wanted['oid']}"}}})

    def _commit(self, repo: Repo) -> None:
        rows = [json.loads(line) for line in self.body.decode().splitlines()]
        if rows[0]["value"].get("parentCommit") not in (None, repo.commit):
            return self._refuse(412, "", "A commit has happened since.")
        for row in rows:
            what, key = row["value"], row["key"]
            if key == "header":
                self.server.messages.append(what["summary"])
            if key == "file" and what["path"] != self.server.loses:
                repo.files[what["path"]] = base64.b64decode(what["content"])
            if key == "deletedFile":
                repo.files.pop(what["path"])
            if key == "deletedFolder":
                repo.files = {name: old for name, old in repo.files.items() if not name.startswith(what["path"])}
            if key == "lfsFile" and what["path"] != self.server.loses:
                repo.files[what["path"]] = self.server.uploaded[what["oid"]]
        url = f"{self.server.url}/{repo.id}/commit/{repo.commit}"
        return self._json({"commitUrl": url, "commitOid": repo.commit, "hookOutput": ""})

    # ---- what may be seen

    def _whoami(self) -> None:
        if self._token() != GOOD:
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        auth = {"accessToken": {"role": self.server.role}}
        return self._json({"type": "user", "name": "me", "orgs": [{"name": "club"}], "auth": auth})

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _repo(self, kind: str, id: str, revision: str | None) -> Repo | None:
        """The repository if it may be seen; otherwise it is refused as the Hub does it."""
        token, repo = self._token(), self.server.repos.get(f"{kind}/{id}")
        if token == EXPIRED:
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if repo is None or (repo.private and token != GOOD):
            if not token:
                return self._refuse(401, "", "Invalid username or password.")
            return self._refuse(404, "RepoNotFound", "Repository not found")
        found = repo.at(revision or "main")
        if found is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._json({"error": message}, status, {"X-Error-Code": code, "X-Error-Message": message})

    # ---- answers

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            if text:
                self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _search(self, kind: str, asked: dict[str, list[str]]) -> list[dict[str, Any]]:
        words = " ".join(asked.get("search", [""])).lower()
        found = [
            repo
            for repo in self.server.repos.values()
            if repo.kind == kind and words in repo.id.lower() and not repo.private
        ]
        wanted = {*asked.get("filter", []), *asked.get("pipeline_tag", [])} if kind == "models" else set()
        found = [repo for repo in found if wanted <= {"safetensors", *repo.tags}]
        found.sort(key=lambda repo: -repo.downloads)
        return [self._info(repo, expand=asked.get("expand")) for repo in found[: int(asked.get("limit", ["20"])[0])]]

    def _info(self, repo: Repo, blobs: bool = False, expand: list[str] | None = None) -> dict[str, Any]:
        total = sum(repo.parameters.values())
        whole = {
            "id": repo.id,
            "cardData": repo.card or None,
            "modelId": repo.id,
            "sha": repo.commit,
            "private": repo.private,
            "gated": "manual" if repo.gated else False,
            "downloads": repo.downloads,
            "tags": [f"license:{repo.licence}", "safetensors", *repo.tags],
            "config": repo.config,
            "safetensors": {"parameters": repo.parameters, "total": total} if total else None,
            "siblings": [self._sibling(name, content, blobs) for name, content in repo.files.items()],
        }
        return {k: v for k, v in whole.items() if v is not None and (expand is None or k in (*expand, "id", "modelId"))}

    def _sibling(self, name: str, content: bytes, blobs: bool) -> dict[str, Any]:
        known = {"rfilename": name}
        if blobs:
            known |= {"size": len(content), "blobId": etag("", content)}
            if name.endswith(LARGE):
                known["lfs"] = {"sha256": etag(name, content), "size": len(content), "pointerSize": 134}
        return known

    def _about(
        self, kind: str, id: str, what: str | None, revision: str | None, refs: str | None, rest: str | None
    ) -> None:
        repo = self._repo(kind, id, revision)
        if repo is None:
            return
        if refs:
            self._json(repo.refs())
        elif what == "tree":
            below = (rest or "").strip("/")
            files = {one: what for one, what in repo.files.items() if one.startswith(below and f"{below}/")}
            is_whole = "recursive=true" in self.path.lower()
            found = [self._entry(*one) for one in files.items()] if is_whole else self._level(below, files)
            self._json(found) if found else self._refuse(404, "EntryNotFound", f"{below} does not exist")
        elif what == "paths-info":
            paths = json.loads(self.body)["paths"]
            self._json([self._entry(name, content) for name, content in repo.files.items() if name in paths])
        else:
            self._json(self._info(repo, blobs="blobs" in self.path))

    def _entry(self, name: str, content: bytes) -> dict[str, Any]:
        large = (
            {"lfs": {"oid": etag(name, content), "size": len(content), "pointerSize": 134}}
            if name.endswith(LARGE)
            else {}
        )
        return {"type": "file", "path": name, "size": len(content), "oid": etag("", content)} | large

    def _level(self, below: str, files: dict[str, bytes]) -> list[dict[str, Any]]:
        """Of a folder its files, and the folders in it."""
        depth = below.count("/") + 2 if below else 1
        here = [self._entry(name, content) for name, content in files.items() if name.count("/") < depth]
        folders = {"/".join(name.split("/")[:depth]) for name in files if name.count("/") >= depth}
        return here + [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in sorted(folders)]

    def _file(self, dataset: str | None, id: str, revision: str, name: str) -> None:
        repo = self._repo((dataset or "models").strip("/"), id, revision)
        if repo is None:
            return None
        if repo.gated and self._token() != GOOD:
            return self._refuse(403 if self._token() else 401, "GatedRepo", f"Access to model {id} is restricted.")
        if name not in repo.files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        content = repo.files[name]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{etag(name, content)}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self._send(name, content[start:])
        return None

    def _send(self, name: str, content: bytes) -> None:
        end = self.server.cut_after.pop(name, len(content))
        for i in range(0, min(end, len(content)), 65536):
            piece = content[i : min(i + 65536, end)]
            self.server.before_chunk(name, i)
            self.wfile.write(piece)
            self.server.bytes_sent[name] = self.server.bytes_sent.get(name, 0) + len(piece)
        if end < len(content):
            self.close_connection = True
            self.connection.shutdown(2)
