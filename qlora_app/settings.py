"""Where this installation lives and listens. Everything comes from the environment; secrets live here and nowhere
else.
"""

import difflib
import hmac
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from .endpoint import Endpoint as Endpoint
from .errors import UserError
from .space import PRIVATE_NETWORKS, is_space, keeps_runs, persistent_storage

PREFIX = "QLORA_APP_"


# What a member's part of this machine is run with as well.
OF_ALL_BEGIN = ("max_", "member_", "host", "port", "public_url", "proxies", "login_header", "log_format", "runs_at")
GB = 1e9  # bytes, as `member_gb` counts them
TOKEN_FILE = "hub_token"  # in the home of a member
HERE = ("127.0.0.1", "localhost", "::1")  # how this machine is called by itself


class Settings(BaseModel):
    """One field for each environment variable QLORA_APP_<FIELD>."""

    model_config = ConfigDict(frozen=True)

    home: Path = Field(Path("~/qlora_app"), description="Folder of runs, uploaded data, own presets and local models")
    data_folder: Path | None = Field(
        None,
        description="Folder of uploaded data and of what may be chosen without an upload; `data` in the "
        "home by default",
    )
    host: str = Field(
        "127.0.0.1", description="Address the page listens on; any other without a login makes it a demonstration"
    )
    port: int = Field(7860, ge=0, le=65535, description="Port of the page")
    user: str | None = Field(None, description="Login name; without one there is no login")
    password: SecretStr | None = Field(None, description="Password of that login")
    public_url: str | None = Field(
        None,
        description="Address people open where a proxy stands in front, such as https://example.org/guanaco; without a "
        "login it makes the page a demonstration",
    )
    proxies: str | None = Field(
        None,
        description="Addresses or networks of the proxies in front, with commas between; only these are believed about "
        "who asks. Without a login it makes the page a demonstration",
    )
    login_header: str | None = Field(
        None,
        description="Header in which a proxy says who has logged in there, such as X-Forwarded-User; believed from "
        "QLORA_APP_PROXIES only, which must let nobody else set it",
    )
    others: Literal["nobody", "visitor", "member"] = Field(
        "nobody",
        description="What those are who have logged in at the proxy or at Hugging Face and have no account: nobody, "
        "visitor or member",
    )
    org_writers: Literal["nobody", "visitor", "member", "owner"] = Field(
        "nobody",
        description="On a Space of an organisation: what those are who may write for it (roles write and contributor); "
        "nobody: as QLORA_APP_OTHERS says. Its administrators are owners",
    )
    visitors: bool = Field(
        False, description="With a login: may others look around without one, as visitors of what is shared?"
    )
    show_private: bool = Field(
        False,
        description="In a demonstration: may visitors see and download runs on uploaded data as they do those on the "
        "starter's?",
    )
    mcp: bool = Field(
        False,
        description="May assistants use the functions /chat, /runs and /train as tools (MCP) at /gradio_api/mcp/? On a "
        "page of this machine alone, without a login",
    )
    metrics: bool = Field(
        False,
        description="Figures for Prometheus at /metrics? They are read with a key, as /v1 is: `keys make NAME`",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="How the terminal's messages are written: text, or json for what collects logs, a line each",
    )
    endpoints: tuple[Endpoint, ...] | None = Field(
        None,
        description="OpenAI-compatible endpoints that may answer beside the runs in the chat, as JSON: "
        '[{"name": ..., "url": "https://.../v1", "model": ..., "key": ...}]',
    )
    hub_token: SecretStr | None = Field(None, description="Hugging Face token for gated base models and data")
    keep_runs: str | None = Field(
        None,
        description="Private dataset repository on the Hub, owner/name, in which runs and uploaded data are kept: for "
        "a Space without storage",
    )
    sync: str | None = Field(
        None,
        description="Folder or url at which runs are kept too, such as s3://bucket/runs: for `sync`, and for Ray whose "
        "nodes do not see the home",
    )
    ray: str | None = Field(
        None, pattern=r"^https?://", description="Address of a Ray cluster's jobs, such as http://head:8265"
    )
    ray_token: SecretStr | None = Field(None, description="Token of that Ray cluster, where it wants one")
    jobs_owner: str | None = Field(
        None, description="Who pays for Hugging Face Jobs: an organisation; the token's owner by default"
    )
    jobs_image: str = Field(
        "ghcr.io/astral-sh/uv:python3.12-bookworm",
        description="Container image of Hugging Face Jobs; it has uv, or all that this program needs",
    )
    wandb_key: SecretStr | None = Field(
        None, description="Weights & Biases API key, for runs that report there; WANDB_API_KEY does the same"
    )
    max_upload_mb: int = Field(2048, ge=1, description="Most that may be uploaded at once, in megabytes")
    max_unpacked_mb: int = Field(2048, ge=1, description="Most megabytes an uploaded .gz or .zip may unpack to")
    max_unpacked_ratio: int = Field(200, ge=1, description="Most times its own size an archive may unpack to")
    max_rows: int = Field(2_000_000, ge=1, description="Most rows a dataset may have")
    max_cache_mb: int = Field(
        20_000, ge=1, description="Most megabytes kept of data that was read, and of data cut into tokens"
    )

    member_jobs: int = Field(
        3, ge=0, description="Most jobs of one member that wait or are worked on; each run of a sweep is one"
    )
    member_gb: int = Field(20, ge=0, description="Most gigabytes that the home of a member may hold")
    member_upload_mb: int = Field(500, ge=1, description="Most that a member may upload at once, in megabytes")
    member_chats: int = Field(2, ge=1, description="Most questions of one member for models at once")
    member_tokens: int = Field(60_000, ge=0, description="Most tokens a minute written for a member; 0: any number")
    visitor_tokens: int = Field(
        20_000, ge=0, description="Most tokens a minute written for visitors of one address; 0: any number"
    )
    runs_at_once: int = Field(
        0, ge=0, le=64, description="Trainings worked on at once; 0: one for each GPU, one where there is none"
    )

    @field_validator("hub_token", "wandb_key", "ray_token", mode="before")
    @classmethod
    def _is_one_word(cls, key: object) -> object:
        """Without the end of a line, which a file or a paste brings along."""
        return key.strip() or None if isinstance(key, str) else key

    @field_validator("endpoints", mode="before")
    @classmethod
    def _is_json(cls, told: object) -> object:
        if not isinstance(told, str):
            return told
        try:
            return json.loads(told) if told.strip() else None
        except ValueError:
            raise ValueError('JSON is needed, such as [{"name": "big", "url": "https://…/v1", "model": "…"}]') from None

    @field_validator("public_url")
    @classmethod
    def _is_address_of_a_page(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        if url and not (
            parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.username
        ):
            raise ValueError("an address like https://example.org/guanaco is needed")
        return url.rstrip("/") if url else None

    @field_validator("login_header")
    @classmethod
    def _is_header(cls, name: str | None) -> str | None:
        if name and not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name):
            raise ValueError("a name of a header like X-Forwarded-User is needed")
        return name

    @field_validator("proxies")
    @classmethod
    def _are_addresses(cls, proxies: str | None) -> str | None:
        _networks(proxies)
        return proxies

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def jobs(self) -> Path:
        """Those that belong to no run."""
        return self.home / "jobs"

    @property
    def evaluations(self) -> Path:
        """Jobs that concern several models, and the answers that these gave."""
        return self.home / "evaluations"

    @property
    def sweeps(self) -> Path:
        return self.home / "sweeps"

    @property
    def data(self) -> Path:
        return self.data_folder or self.home / "data"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def presets(self) -> Path:
        return self.home / "presets"

    @property
    def tokens(self) -> Path:
        return self.home / "tokens"

    @property
    def members(self) -> Path:
        """The homes of members, one each."""
        return self.home / "members"

    def of_member(self, name: str) -> "MemberSettings":
        """Of their own home. Whatever is not known to be everybody's is the owner's, and left out."""
        others = {key: field.default for key, field in Settings.model_fields.items()}
        own = others | {key: getattr(self, key) for key in others if key.startswith(OF_ALL_BEGIN)}
        return MemberSettings.model_construct(**(own | {"home": self.members / name, "member": name}))

    @property
    def is_local(self) -> bool:
        """For people at this machine only: it listens to no other, and no proxy brings others in."""
        return self.host in HERE and not self.public_url and not self.proxies

    @property
    def address(self) -> str:
        """Where the page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def proxy_networks(self) -> tuple["Network", ...]:
        """Where the proxies are that are believed."""
        return _networks(self.proxies)

    @property
    def root_path(self) -> str:
        """The path below which a proxy serves the page; "" for the whole of a host."""
        return urlsplit(self.public_url or "").path.rstrip("/")

    @property
    def login(self) -> tuple[str, str] | None:
        return (self.user, self.password.get_secret_value()) if self.user and self.password else None

    def lets_in(self, user: str, password: str) -> bool:
        """Are these the login's? It takes as long whatever is wrong with them."""
        if self.login is None:
            return False
        right = [
            hmac.compare_digest(given.encode(), known.encode())
            for given, known in zip((user, password), self.login, strict=True)
        ]
        return all(right)

    @property
    def token(self) -> str | None:
        """The Hub token as the Hub's client takes it."""
        return self.hub_token.get_secret_value() if self.hub_token else None

    @property
    def secrets(self) -> dict[str, str]:
        """{setting: its word}, of those that may stand in no file that leaves this machine."""
        keys = {"HUB_TOKEN": self.hub_token, "WANDB_KEY": self.wandb_key, "PASSWORD": self.password}
        keys |= {"RAY_TOKEN": self.ray_token, **{f"ENDPOINTS ({one.name})": one.key for one in self.endpoints or ()}}
        words = {name: key.get_secret_value() for name, key in keys.items() if key}
        urls = {"SYNC": self.sync, "RAY": self.ray, "PUBLIC_URL": self.public_url}
        words |= {name: urlsplit(url).password or "" for name, url in urls.items() if url}
        return {f"{PREFIX}{name}": word for name, word in words.items() if word}

    @property
    def is_demonstration(self) -> bool:
        """Open to everybody and without a login: visitors look and chat, and change nothing."""
        return not (self.is_local or self.login)

    def make_home(self) -> None:
        """Raises UserError where the folder of everything cannot be made or used."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                "settings.home_not_made",
                "{home} cannot be made ({reason}). Set {prefix}HOME to a folder you may write to.",
                home=self.home,
                reason=error.strerror,
                prefix=PREFIX,
            ) from error
        if not keeps_runs(self.home):
            raise UserError(
                "settings.home_not_writable",
                "{home} cannot be written to, or keeps no locks (as some network drives do not). Set {prefix}HOME to "
                "a folder on a disk of this machine you may write to.",
                home=self.home,
                prefix=PREFIX,
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every QLORA_APP_ variable. Raises UserError naming each one that does not make sense, misspelt ones
        included.

        A Space is reached through Hugging Face's proxy only, and keeps across a restart only what is on its persistent
        storage.
        """
        values = {k.removeprefix(PREFIX).lower(): v for k, v in environment.items() if k.startswith(PREFIX) and v}
        lines = [_unknown(name) for name in values if name not in (*cls.model_fields, "member")]
        if len(missing := {"user", "password"} - values.keys()) == 1:
            lines.append(f"{PREFIX}{missing.pop().upper()} is not set: a login needs a user and a password.")
        member = values.pop("member", "")  # of a worker's
        if key := environment.get("WANDB_API_KEY"):
            values.setdefault("wandb_key", key)
        if storage := persistent_storage(environment):
            values.setdefault("home", str(storage))
        if is_space(environment):
            values["host"] = "0.0.0.0"
            values.setdefault("proxies", PRIVATE_NETWORKS)
        if values.get("login_header") and (is_space(environment) or not values.get("proxies")):
            lines.append(f"{PREFIX}LOGIN_HEADER is believed from {PREFIX}PROXIES only. Name them; a Space has none.")
        settings = None
        try:
            settings = cls.model_validate({k: v for k, v in values.items() if k in cls.model_fields})
        except ValidationError as error:
            lines += [_wrong(dict(one)) for one in error.errors()]
        if settings is None or lines:
            raise UserError("settings.wrong", "{lines}", lines="\n".join(lines))
        folders = {
            name: folder.expanduser().resolve()
            for name in ("home", "data_folder")
            if (folder := getattr(settings, name))
        }
        settings = settings.model_copy(update=folders)
        return settings.of_member(member) if member else settings


class MemberSettings(Settings):
    """Of one who trains here and owns nothing beside their own home. Their token is asked for anew each time: they give
    it on a page of theirs, and a worker has it from the next job on.
    """

    member: str = ""

    @property
    def token_file(self) -> Path:
        """In which their own Hub token lies, for nobody else to read."""
        return self.home / TOKEN_FILE

    @property
    def token(self) -> str | None:
        try:
            return self.token_file.read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            return None

    @property
    def secrets(self) -> dict[str, str]:
        return {"your Hub token": token} if (token := self.token) else {}

    @property
    def is_demonstration(self) -> bool:
        return False


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(text: str | None) -> tuple[Network, ...]:
    """Raises ValueError for what is neither an address nor a network."""
    named = [one.strip() for one in (text or "").split(",")]
    return tuple(ipaddress.ip_network(one, strict=False) for one in named if one)


def _wrong(error: dict[str, Any]) -> str:
    """The variable and what is wrong with it; what stands in it where no key can be a part of that."""
    place = [str(part) for part in error["loc"]]
    told = "" if place[0] == "endpoints" else f" (it is {error['input']!r})"
    return f"{PREFIX}{place[0].upper()}: {': '.join([*place[1:], error['msg']])}{told}"


def _unknown(name: str) -> str:
    """A misspelt variable would be a login or a folder that is silently not used. Its value may be a secret, so it is
    not shown.
    """
    near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.5)
    every = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
    hint = f"Do you mean {PREFIX}{near[0].upper()}?" if near else f"There are: {every}."
    return f"{PREFIX}{name.upper()}: there is no such setting. {hint}"
