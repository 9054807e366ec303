"""What was made of a run for other programs, as files that a browser saves: each alone, or all as a zip. They are
streamed, since a model may be larger than the memory. The door lets in only who may change something.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import UserError
from ..jobs import Job, JobStore
from ..runs import Run, RunStore
from ..runs.exports import FILES
from ..storage.reading import is_regular
from .door.request_guard import NOTHING_HERE

CHUNK = 1 << 20  # bytes


def address_of(run: Run, job: Job, name: str = "") -> str:
    """Where the page finds a file; without a name the zip of all."""
    return f"./exports/{run.id}/{job.id}/{name}".rstrip("/")


def exported(store: RunStore) -> list[Route]:
    """The routes."""

    def answered(request: Request) -> Response:
        """404 for whatever is none of the files that lie in an export's folder."""
        asked = request.path_params
        folder = _folder(store, asked["run"], asked["job"])
        files = _files(folder) if folder else {}
        name = asked.get("name", "")
        if not name and files:
            saved = {"content-disposition": f'attachment; filename="{asked["run"]}-{asked["job"]}.zip"'}
            return StreamingResponse(zipped(files), media_type="application/zip", headers=saved)
        if name not in files:
            return PlainTextResponse(NOTHING_HERE, status_code=404)
        return FileResponse(files[name], filename=Path(name).name, media_type="application/octet-stream")

    return [Route("/exports/{run}/{job}", answered), Route("/exports/{run}/{job}/{name:path}", answered)]


def zipped(files: dict[str, Path]) -> Iterator[bytes]:
    """The bytes of a zip of files, not compressed: weights do not get smaller."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files.items():
            about = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with open(path, "rb") as source, archive.open(about, "w", force_zip64=True) as target:
                while piece := source.read(CHUNK):
                    target.write(piece)
                    yield sink.take()
    yield sink.take()


class _Sink:
    """Keeps what the zip writes until it is taken. It cannot be wound back, which zipfile finds out by asking."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def write(self, content: bytes) -> int:
        self._kept += content
        return len(content)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self._kept = bytes(self._kept), bytearray()
        return taken


def _folder(store: RunStore, run: str, job: str) -> Path | None:
    """Of what a job made; None where there is no such job."""
    try:
        folder = JobStore(store.get(run).exports).get(job).folder / FILES
    except UserError:
        return None
    return folder if folder.is_dir() else None


def _files(folder: Path) -> dict[str, Path]:
    """{name: file}. A link may lead out of the folder."""
    found = sorted(path for path in folder.rglob("*") if not path.is_symlink() and is_regular(path))
    inside = [path for path in found if path.resolve().is_relative_to(folder.resolve())]
    return {path.relative_to(folder).as_posix(): path for path in inside}
