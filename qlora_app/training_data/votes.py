"""What people said of answers in the chat: which was better, and what it should have said. Two files of the data
folder, which are datasets like any other: pairs, and conversations with the corrected answer.
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..messages import Conversation
from ..storage.disk import said
from ..storage.files import replace_file
from ..storage.gone import noted

PAIRS, EXAMPLES = "chat-preferences.jsonl", "chat-corrected.jsonl"  # in the data folder
LARGEST = 200_000_000  # bytes of one file
Row = dict[str, Any]


class Votes:
    """Each row has a name within its conversation, under which a vote can be changed or taken back.

    A pair: {"prompt": [messages], "chosen": [message], "rejected": [message], "source": {...}}, as TRL reads them.
    An example: {"messages": [...], "source": {...}}. The source says where it came from; `name` is in it.
    """

    def __init__(self, data_folder: Path) -> None:
        self.folder = data_folder

    def prefer(
        self, name: str, prompt: Conversation, chosen: str, rejected: Sequence[tuple[str, Row]], keep: bool = False
    ) -> None:
        """One answer is better than others to the same prompt, in place of what was said under that name before.

        rejected: (answer, source of the pair); of the same words as the better one it makes no pair. keep: beside what
        was said under that name. Raises UserError where the disk refuses.
        """
        others = {text.strip(): (text, source) for text, source in rejected if text.strip()}
        others.pop(chosen.strip(), None)
        rows = [
            {
                "prompt": prompt,
                "chosen": [_answer(chosen)],
                "rejected": [_answer(text)],
                "source": {"name": name} | source,
            }
            for text, source in others.values()
        ]
        self._put(PAIRS, name, rows, keep)

    def correct(self, name: str, prompt: Conversation, right: str, source: Row) -> None:
        """What an answer should have said, in place of what was said under that name before. Raises UserError."""
        row = {"messages": [*prompt, _answer(right)], "source": {"name": name} | source}
        self._put(EXAMPLES, name, [row])

    def take_back(self, name: str) -> None:
        """Nothing is said under that name any more. Raises UserError."""
        for file in (PAIRS, EXAMPLES):
            self._put(file, name, [])

    def counts(self) -> dict[str, int]:
        """{"pairs", "examples"}: how many there are."""
        files = {"pairs": PAIRS, "examples": EXAMPLES}
        return {what: sum(1 for _ in self._lines(file)) for what, file in files.items()}

    # ---- the files

    def _put(self, file: str, name: str, rows: list[Row], keep: bool = False) -> None:
        if not rows and not (self.folder / file).exists():
            return
        with said(self.folder), self._alone():
            kept = [line for line in self._lines(file) if keep or _name_of(line) != name]
            text = "".join(f"{line}\n" for line in [*kept, *(json.dumps(row, ensure_ascii=False) for row in rows)])
            if len(text.encode()) > LARGEST:
                raise UserError(
                    "votes.too_many",
                    "{file} has grown to {size:,.0f} MB. Move it out of the data folder under another name, then vote "
                    "again.",
                    file=file,
                    size=LARGEST / 1_000_000,
                )
            self._write(self.folder / file, text)

    def _write(self, place: Path, text: str) -> None:
        if text:
            replace_file(place, text, private=True)
        else:
            with noted(self.folder, place.name):
                place.unlink(missing_ok=True)  # an empty dataset can be chosen and teaches nothing

    def _lines(self, file: str) -> Iterator[str]:
        place = self.folder / file
        if not place.is_file():
            return
        with open(place, encoding="utf-8") as lines:
            yield from filter(None, (line.strip() for line in lines))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two windows, or two apps on one folder, vote one after the other."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.folder / ".votes.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}


def _name_of(line: str) -> str:
    """ "" for a line that somebody else wrote: it stays."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(line).get("source", {}).get("name", ""))
    return ""
