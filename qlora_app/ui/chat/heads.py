"""What stands above each column of the chat: who answers there, with the checksum of its adapter."""

import functools
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...inference.sides import MOST_SIDES, Share, Side, check_chats, check_weighted, endpoint_of
from ...runs import Run
from ...storage.digests import sha256_of
from ..context import AppContext
from ..guard import asked_by_everyone, in_words
from ..translate import translate
from .partners import Partners

REMEMBERED = 1000  # checksums
TOLD = ("title", "base", "differs", "when")  # of a run


class Heads:
    """What is known of those who answer, as those see it who may."""

    def __init__(self, page: AppContext, partners: Partners) -> None:
        self.page, self.partners = page, partners

    def facts(self, sent: Any) -> dict[str, Any]:
        """{"title", "base", "differs", "when", "steps", "checksum"} of a side as a browser sends it; "parts" of a mix;
        "oneStrength": why its strength is what it is; "problem" where it cannot answer.
        """
        try:
            side = Side.of(sent)
            if side.who == "endpoint":
                one = endpoint_of(side, self.page.endpoints)
                return {"title": one.name, "base": one.model, "steps": [], "checksum": ""}
            facts = self._of_run(side, self.page.store.get(side.run))
            if side.who == "mix":
                facts["parts"] = [self._of_part(one) for one in side.mix]
            return facts
        except UserError as error:
            return {"problem": self._in_words(error)}

    def _of_part(self, share: Share) -> dict[str, Any]:
        """Of an adapter of a mix."""
        return self._of_run(Side(run=share.run, checkpoint=share.checkpoint), self.page.store.get(share.run))

    def _in_words(self, error: Exception) -> str:
        return translate(in_words(error, self.page.may_change))

    def _of_run(self, side: Side, run: Run) -> dict[str, Any]:
        said = self.partners.words_of(run)
        steps = run.saved_steps() if self.page.may_open(run) else []
        adapter = run.adapter_at(side.checkpoint) if side.who == "run" and side.strength else None
        facts = {name: said[name] for name in TOLD} | {"steps": steps, "checksum": _checksum(adapter)}
        for name, check in (("problem", check_chats), ("oneStrength", check_weighted)):
            try:
                check(run)
            except UserError as error:
                facts[name] = self._in_words(error)
        return facts


def who_function(heads: Heads) -> Any:
    """`who` as a plain function: Gradio calls it by that name from the browser."""

    @asked_by_everyone
    def who(asked: Any) -> list[dict[str, Any]]:
        """[side] -> what is known of each."""
        sides = asked[:MOST_SIDES] if isinstance(asked, list) else []
        return [heads.facts(side) for side in sides]

    return who


def _checksum(adapter: Path | None) -> str:
    """SHA-256 of its weights; "" where there are none."""
    if adapter is None:
        return ""
    file = adapter / "adapter_model.safetensors"
    try:
        known = file.stat()
        return _read(file, known.st_mtime_ns, known.st_size)
    except OSError:
        return ""


@functools.lru_cache(maxsize=REMEMBERED)
def _read(file: Path, written: int, size: int) -> str:
    """As long as it is the same file: a large one takes seconds."""
    return sha256_of(file)
