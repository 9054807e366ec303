"""Where this installation lives and listens. Everything comes from the environment; secrets live here and nowhere else."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from .errors import UserError

PREFIX = "QLORA_APP_"


class Settings(BaseModel):
    """One field for each environment variable QLORA_APP_<FIELD>."""

    model_config = ConfigDict(frozen=True)

    home: Path = Field(Path("~/qlora_app"), description="Folder of runs, uploaded data, own presets and local models")
    host: str = Field("127.0.0.1", description="Address the page listens on; anything else needs a user and a password")
    port: int = Field(7860, ge=0, le=65535, description="Port of the page")
    user: str | None = Field(None, description="Login name; without one there is no login")
    password: SecretStr | None = Field(None, description="Password of that login")
    hub_token: SecretStr | None = Field(None, description="Hugging Face token for gated base models")
    max_upload_mb: int = Field(512, ge=1, description="Largest file that may be uploaded, in megabytes")
    max_rows: int = Field(2_000_000, ge=1, description="Most rows a dataset may have")

    @property
    def runs(self) -> Path: return self.home / "runs"

    @property
    def data(self) -> Path: return self.home / "data"

    @property
    def models(self) -> Path: return self.home / "models"

    @property
    def presets(self) -> Path: return self.home / "presets"

    @property
    def is_local(self) -> bool: return self.host in ("127.0.0.1", "localhost", "::1")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every QLORA_APP_ variable. Raises UserError naming each one that does not make sense, misspelt ones included."""
        values = {k.removeprefix(PREFIX).lower(): v for k, v in environment.items() if k.startswith(PREFIX) and v}
        lines = [_unknown(name) for name in values if name not in cls.model_fields]
        settings = None
        try:
            settings = cls.model_validate({k: v for k, v in values.items() if k in cls.model_fields})
        except ValidationError as error:
            lines += [f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']} (it is {e['input']!r})" for e in error.errors()]
        if settings is None or lines:
            raise UserError("\n".join(lines))
        return settings.model_copy(update={"home": settings.home.expanduser().resolve()})


def _unknown(name: str) -> str:
    """A misspelt variable would be a login or a folder that is silently not used. Its value may be a secret, so it is not shown."""
    near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.5)
    every = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
    hint = f"Do you mean {PREFIX}{near[0].upper()}?" if near else f"There are: {every}."
    return f"{PREFIX}{name.upper()}: there is no such setting. {hint}"
