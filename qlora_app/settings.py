"""Where this installation lives and listens. Everything comes from the environment; secrets live here and nowhere else."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from .errors import UserError

PREFIX = "QLORA_APP_"


class Settings(BaseModel):
    """One field for each environment variable QLORA_APP_<FIELD>."""

    model_config = ConfigDict(frozen=True)

    home: Path = Field(Path("~/qlora_app"), description="Folder of runs, uploaded data and local models")
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
    def is_local(self) -> bool: return self.host in ("127.0.0.1", "localhost", "::1")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every QLORA_APP_ variable. Raises UserError naming each one that does not make sense."""
        values = {k.removeprefix(PREFIX).lower(): v for k, v in environment.items() if k.startswith(PREFIX) and v}
        try:
            settings = cls.model_validate({k: v for k, v in values.items() if k in cls.model_fields})
        except ValidationError as error:
            lines = [f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']} (it is {e['input']!r})" for e in error.errors()]
            raise UserError("\n".join(lines)) from error
        return settings.model_copy(update={"home": settings.home.expanduser().resolve()})
