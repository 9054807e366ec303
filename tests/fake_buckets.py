"""A fake of the Hub's buckets: files below the folder $FAKE_BUCKETS, for hf:// of fsspec. The real ones are written by
hf_xet, which speaks to servers that no test can be.
"""

import os
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem


class FakeBuckets(LocalFileSystem):
    protocol = "hf"

    def __init__(self, token: str | None = None, **more: Any) -> None:
        super().__init__(**more)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        path = str(path).removeprefix("hf://")
        return path if path.startswith("/") else f"{os.environ['FAKE_BUCKETS']}/{path}"

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        """Whole or not at all, as a bucket does it."""
        whole = Path(self._strip_protocol(path))
        beside = whole.with_name(f".{whole.name}.{os.getpid()}")
        beside.write_bytes(value)
        beside.replace(whole)


def install() -> None:
    fsspec.register_implementation("hf", FakeBuckets, clobber=True)
