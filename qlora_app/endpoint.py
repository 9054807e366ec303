"""A model that answers elsewhere."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Endpoint(BaseModel):
    """An OpenAI-compatible endpoint elsewhere, asked beside the runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    url: str = Field(pattern=r"^https?://")
    model: str = Field(min_length=1)
    key: SecretStr | None = None

    @property
    def place(self) -> str:
        """Its url without what may be a secret: a name, a password, a key behind "?". This may stand in files."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
