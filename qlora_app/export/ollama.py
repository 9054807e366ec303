"""For Ollama: a GGUF and a Modelfile beside it, which says how a conversation is written and where an answer ends.

Never with ADAPTER: Ollama refuses it since 0.34. It reads the chat template of a GGUF only where it knows it, so the
Modelfile has one of its own.
"""

from pathlib import Path
from typing import ClassVar, Literal

from ..choices import setting
from ..errors import Problem, UserError
from ..runs import Run
from ..storage.files import replace_file
from .gguf_exporter import GgufExporter
from .modelfile import Asked, ollama_commands

MODELFILE = "Modelfile"


class OllamaExporter(GgufExporter):
    """The GGUF with its Modelfile, and the commands for Ollama, LM Studio and llama.cpp."""

    title: ClassVar[str] = "Ollama"
    about: ClassVar[str] = (
        "The GGUF with a Modelfile: how a conversation is written, where an answer ends, how long it was in training. "
        "LM Studio and llama.cpp open the same file."
    )

    name: Literal["ollama"] = setting("ollama", "Export", "What is made.", labels={"ollama": "Ollama (Modelfile)"})  # type: ignore[assignment]

    def called(self) -> str:
        return f"ollama-{self.dtype}"

    def problems(self, run: Run) -> dict[str, Problem]:
        problems = super().problems(run)
        if problems:
            return problems
        try:
            Asked.of(run)
        except UserError as error:
            return {"name": error.problem}
        return {}

    def write_beside(self, run: Run, file: Path) -> None:
        replace_file(file.with_name(MODELFILE), Asked.of(run).modelfile(file.name))
        replace_file(file.with_name("commands.txt"), ollama_commands(run, file.name) + "\n")
