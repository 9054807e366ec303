"""A place that a url names, as fsspec reaches it. Whatever goes wrong there is a sentence."""

import errno
import os
import re
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..storage.disk import is_full

S3FS = "s3fs==2026.9.0"  # of the same release as fsspec, or pip exchanges that; the extra `s3`
SCHEMES = ("file", "memory", "s3", "gs", "az", "abfs", "hf")
_URL = re.compile(r"([a-z0-9]+)://(.*)", re.DOTALL)
_WORDS_OF_FULL = ("quota", "insufficient", "507", "entitytoolarge", "storagelimit")
_WORDS_OF_DENIED = ("denied", "forbidden", "403", "401", "credentials", "unauthorized")


class Target:
    """Files below a url. A file that is written is there whole or not at all."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """token: of the Hub, where the url is one of its buckets. Raises UserError for what names no such place."""
        self.url = url_of(url)
        scheme, path = self.url.split("://", 1)
        how: dict[str, Any] = {"token": token} if scheme == "hf" else {}
        try:
            import fsspec

            self._fs: Any = fsspec.filesystem(scheme, skip_instance_cache=scheme != "memory", **how)
        except ImportError as error:
            raise UserError(
                "sync.not_installed",
                "{scheme}:// needs a package that is not installed ({reason}). For s3:// it is pip install {s3fs}.",
                scheme=scheme,
                reason=error,
                s3fs=S3FS,
            ) from error
        self._is_local = scheme == "file"
        self._root = path.rstrip("/")

    def names(self, folder: str) -> dict[str, int]:
        """Bytes of each file below a folder, by its path below that."""
        root = f"{self._root}/{folder}"
        try:
            self._fs.invalidate_cache()
            found = self._fs.find(root, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:  # whatever a library makes of the network
            raise self._explained(error) from error
        begin = self._fs._strip_protocol(root).rstrip("/") + "/"
        return {path.removeprefix(begin): int(info["size"] or 0) for path, info in found.items()}

    def read(self, name: str) -> bytes | None:
        """None where there is no such file."""
        try:
            return bytes(self._fs.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._explained(error) from error

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all, replacing what was there."""
        path = f"{self._root}/{name}"
        try:
            if self._is_local:
                _write_beside(Path(path), content)
                return
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, content)
        except Exception as error:
            raise self._explained(error) from error

    def remove(self, names: list[str]) -> None:
        """What is not there any more is no trouble."""
        for name in names:
            try:
                self._fs.rm_file(f"{self._root}/{name}")
            except FileNotFoundError:
                continue
            except Exception as error:
                raise self._explained(error) from error

    def _explained(self, error: Exception) -> UserError:
        if isinstance(error, UserError):
            return error
        text = f"{type(error).__name__}: {error}"[:300]
        if is_full(error) or any(word in text.lower() for word in _WORDS_OF_FULL):
            return UserError(
                "sync.full",
                "{url} has no room ({reason}). What is here is untouched, and what was whole there still is. Make room "
                "there, and begin again: what has come is not sent twice.",
                url=self.url,
                reason=text,
            )
        is_forbidden = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        if is_forbidden or any(word in text.lower() for word in _WORDS_OF_DENIED):
            return UserError(
                "sync.denied",
                "{url} may not be used ({reason}). Give this program the key of that place, or name another.",
                url=self.url,
                reason=text,
            )
        return UserError(
            "sync.unreachable", "{url} does not answer ({reason}). Try again later.", url=self.url, reason=text
        )


def url_of(text: str) -> str:
    """A url, also of a path of this machine. Raises UserError for one that says more than where, such as a password."""
    text = text.strip()
    if ":/" not in text and "::" not in text and text:
        return f"file://{Path(text).expanduser().resolve()}"
    found = _URL.fullmatch(text)
    if (
        found is None
        or found[1] not in SCHEMES
        or "::" in text
        or "@" in found[2].split("/")[0]
        or "?" in text
        or ".." in found[2].split("/")
        or (found[1] == "hf" and not re.fullmatch(r"buckets/[\w.-]+/[\w.-]+(/.*)?", found[2]))
        or not found[2].strip("/")
    ):
        raise UserError(
            "sync.wrong_url",
            "{url} names no place for runs. It is a folder, or such as s3://bucket/folder or "
            "hf://buckets/you/bucket; keys are not part of it.",
            url=re.sub(r"//[^/]*@", "//", text),
        )
    return text.rstrip("/")


def _write_beside(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
