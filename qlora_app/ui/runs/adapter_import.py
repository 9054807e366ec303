"""Above the list of runs: an adapter that was made elsewhere is opened, and becomes one of them."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ...base_models.choice import PRECISIONS
from ...jobs import JobStore
from ...kinds.adapter_import import AdapterSpec, adapter_job, spec_for
from ...other_adapters.reading import base_named
from ...runs import address_of
from ..context import AppContext
from ..events import FAST, QUIET, Answer, Given
from ..guard import changes, owner_reads
from ..job_card import JobCard
from ..kept import KEEPS
from ..translate import translate


class AdapterImport:
    """Its components and what they do."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.job = JobCard(page)

    def build(self) -> None:
        """Folded: most people train their own."""
        with gr.Accordion(
            "Open an adapter made elsewhere", open=False, visible=self.page.may_change, elem_id="open-adapter"
        ):
            with gr.Row(equal_height=True):
                self.what = gr.Textbox(
                    label="Adapter",
                    info="A folder, a zip or a GGUF on this machine, or owner/name on the Hub.",
                    elem_id="adapter-what",
                    elem_classes=KEEPS,
                    scale=5,
                    min_width=260,
                )
                self.base = gr.Textbox(
                    label="Its base model",
                    info="Only where its files do not say it: a folder, or owner/name on the Hub.",
                    elem_id="adapter-base",
                    elem_classes=KEEPS,
                    scale=4,
                    min_width=260,
                )
                self.precision = gr.Dropdown(
                    [("Unquantized", ""), *((words, name) for name, words in PRECISIONS.items())],
                    value="",
                    label="Precision of the base",
                    info="How the base is held: best as it was where the adapter was made.",
                    elem_id="adapter-precision",
                    elem_classes=KEEPS,
                    scale=3,
                    min_width=260,
                )
            self.downloads = gr.Checkbox(
                label="Download its base",
                info="Where it is not on this machine. Without this the import says how much that would be.",
                elem_id="adapter-downloads",
                elem_classes=KEEPS,
            )
            with gr.Row():
                self.go = gr.Button("Open it", size="sm", min_width=140)
                self.upload = gr.UploadButton("Upload a file", file_types=[".zip", ".gguf"], size="sm", min_width=140)
            self.card = self.job.build(elem_id="adapter-job")

    @property
    def kept(self) -> list[Component]:
        """What stands there again when the page was loaded again."""
        return [self.what, self.base, self.precision, self.downloads]

    def wire(self) -> None:
        """Checked, measured and kept by a job, whose card stands below."""
        how = {self.base, self.precision, self.downloads}
        typed = {self.what, *how}
        self.go.click(self.take, typed, self.card, **QUIET)
        self.what.submit(self.take, typed, self.card, **QUIET)
        self.upload.upload(self.brought, {self.upload, *how}, self.card, **QUIET)
        self.card.done(self.finished, None, [self.what, self.base], **FAST)
        self.job.wire()

    @changes
    def take(self, given: Given) -> Answer:
        """What somebody typed."""
        what = str(given[self.what] or "")
        spec = spec_for(what, **self._how(given))
        return self._begun(spec, Path(what.strip()).expanduser() if spec.source == "file" else None)

    @changes
    def brought(self, given: Given) -> Answer:
        """A zip or a GGUF from somebody's own machine."""
        file = Path(given[self.upload])
        how = self._how(given)
        spec = AdapterSpec(source="file", id=file.name, **how | {"base": base_named(how["base"])})
        return self._begun(spec, file)

    def _how(self, given: Given) -> dict[str, Any]:
        """What stands in the form about the base."""
        base, precision = (str(given[one] or "") for one in (self.base, self.precision))
        return {"base": base, "precision": precision, "downloads": bool(given[self.downloads])}

    @owner_reads
    def finished(self) -> Answer:
        """It stands in the list now."""
        self.page.summaries.look_again()
        gr.Info(translate("Imported. It stands among the runs."))
        return {self.what: "", self.base: ""}

    def _begun(self, spec: AdapterSpec, file: Path | None) -> Answer:
        self.page.make_room()
        job = adapter_job(JobStore(self.page.settings.jobs), spec, file)
        self.page.start(job)
        return {self.card: address_of(job)}
