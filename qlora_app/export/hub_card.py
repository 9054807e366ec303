"""The card of a model on the Hub: what it is, how each program opens it, and what was measured. It goes into a file."""

from pathlib import Path
from typing import Any

import yaml

from ..inference.loaded import tokenizer_of
from ..runs import Run
from ..runs.exports import Export, Fidelity
from ..runs.merges import merge_of
from ..runs.proof import Proof
from ..tasks.template import ChatTemplate
from .public_names import public_id, public_title

# As the Hub has it: "merge" is of several models, and one adapter in its base is a fine-tune of that.
RELATION = {"adapter": "adapter", "merged": "finetune", "gguf": "quantized"}
PIPELINES = {
    "chat": "text-generation",
    "text_to_text": "text2text-generation",
    "classification": "text-classification",
    "fill_mask": "fill-mask",
}
CURVE = "loss.png"
# Some CPUs compute 4-bit weights in bf16, whatever they are told, with another kernel than it was measured with.
AS_ON_CPU = "bitsandbytes.nn.modules.has_avx512bf16 = lambda: False  # on a CPU: computed as it was measured\n"
LIBRARY = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}


Terms = dict[str, str]  # licence of the base as its card says it: license, and license_name and license_link of another


def hub_card(
    run: Run,
    what: str,
    files: dict[str, Path],
    repository: str,
    terms: Terms,
    shown: str = "",
    made: Export | None = None,
) -> str:
    """what: adapter, merged or gguf. shown: what the picture of the loss shows; "" where there is none. made: the
    export; None for the adapter.
    """
    base, method = run.base_model(), run.recipe().method
    from_hub = base.source == "hub"
    of = f"[{base.id}](https://huggingface.co/{base.id})" if from_hub else "a base that is not on the Hub"
    came = _came(run, f"{method.title()} for {of}", f"Trained with {method.title()} on {of}")
    fidelity, notes = (made.fidelity, made.notes) if made else (None, ())
    return "\n".join(
        [
            _front_matter(run, what, repository, terms, fidelity),
            f"# {public_title(run)}\n",
            f"{came} by Guanaco Workshop. The run, and this revision, is `{public_id(run)}`.\n",
            *(f"**{note}**\n" for note in notes),
            "## Use it\n",
            _use(run, what, files, repository),
            "## Measured on held-out examples\n",
            *(f"- {line}" for line in _measured(run)),
            *([f"- Those are the adapter's figures. Of what lies here: {fidelity.words}"] if fidelity else []),
            *(["", f"![{shown}]({CURVE})"] if shown else []),
            "",
        ]
    )


def _came(run: Run, what: str, trained: str) -> str:
    """How it was made: trained here, merged, or neither."""
    made = merge_of(run)
    if made is None:
        return trained if Proof.from_json(run.proof()).is_trained else f"An adapter of {what}, imported"
    weights = " and ".join(f"{one.weight:g}" for one in made.parents)
    return f"{len(made.parents)} adapters of {what}, times {weights}, merged into one ({made.said})"


def _front_matter(run: Run, what: str, repository: str, terms: Terms, fidelity: Fidelity | None) -> str:
    base, data = run.base_model(), run.recipe().dataset
    about: dict[str, Any] = {"library_name": LIBRARY[what], "tags": _tags(run)}
    if base.source == "hub":
        about |= {"base_model": base.id, "base_model_relation": RELATION[what]}
    about["pipeline_tag"] = PIPELINES[run.task().name]
    if data.source == "hub":
        about["datasets"] = [data.id]
    about |= terms
    if metrics := _metrics(run, fidelity):
        about["metrics"] = [one["type"] for one in metrics]
        measured = {
            "task": {"type": PIPELINES[run.task().name]},
            "dataset": {"name": "held-out questions", "type": "held-out"},
            "metrics": metrics,
        }
        about["model-index"] = [{"name": repository.rpartition("/")[2], "results": [measured]}]
    return f"---\n{yaml.safe_dump(about, sort_keys=False, allow_unicode=True)}---\n"


def _tags(run: Run) -> list[str]:
    return ["guanaco-workshop", run.recipe().method.name, *(["merge"] if merge_of(run) else [])]


def _metrics(run: Run, fidelity: Fidelity | None) -> list[dict[str, Any]]:
    """As a model-index has them: of an export what was measured of itself, not of the adapter."""
    proof, found = Proof.from_json(run.proof()).heldout, []
    shares = fidelity.exact_match if fidelity else proof.exact_match
    if (share := shares.after) is not None:
        name = "Answers that are right word for word"
        found.append({"type": "exact_match", "value": round(share, 4), "name": name})
    if fidelity is None and (loss := proof.loss.after) is not None:
        found.append({"type": "loss", "value": round(loss, 4), "name": f"Nats {_unit(run)}"})
    return found


def _unit(run: Run) -> str:
    return "a label" if run.task().name == "classification" else "a token"


def _measured(run: Run) -> list[str]:
    proof = Proof.from_json(run.proof()).heldout
    lines = []
    if proof.loss.before is not None and proof.loss.after is not None:
        lines.append(f"Loss {proof.loss.after:.3f} nats {_unit(run)}; the base's was {proof.loss.before:.3f}.")
    if proof.exact_match.before is not None and proof.exact_match.after is not None:
        lines.append(
            f"{proof.exact_match.after:.1%} of {proof.questions} answers are right word for word; "
            f"{proof.exact_match.before:.1%} of the base's."
        )
    if made := merge_of(run):
        lines += [f"Of the adapter {number}: {one.fidelity.words}" for number, one in enumerate(made.parents, start=1)]
    return lines or ["Nothing was held out."]


def _use(run: Run, what: str, files: dict[str, Path], repository: str) -> str:
    if what == "gguf":
        name = next(name for name in files if name.endswith(".gguf"))
        lines = [f"llama-server -hf {repository} --hf-file {name} --jinja --temp 0"]
        if "template" in files:  # else Ollama cannot write what the model learned with
            lines.append(f"ollama run hf.co/{repository}:{Path(name).stem.rpartition('-')[2]}")
        return "\n".join(["```sh", *lines, "```", ""])
    return f"```python\n{_opened(run, what, repository)}{_asked(run)}```\n"


def _opened(run: Run, what: str, repository: str) -> str:
    at = f"{repository!r}, revision={public_id(run)!r}"
    auto, opened = run.task().auto_class, Proof.from_json(run.proof()).base
    tokenizer = f"tokenizer = AutoTokenizer.from_pretrained({at})\n"
    if what == "merged":
        return f"from transformers import {auto}, AutoTokenizer\n\nmodel = {auto}.from_pretrained({at})\n{tokenizer}"
    base = run.base_model()
    given = [repr(base.id)] + ([f"revision={base.revision!r}"] if base.revision else [])
    given += [f'dtype="{opened.dtype}"'] if opened.dtype else []
    classes, packed = f"{auto}, AutoTokenizer", ""
    if opened.quantization:
        classes += ", BitsAndBytesConfig"
        packed = f"quantization = BitsAndBytesConfig(**{opened.quantization!r})\n"
        if opened.device == "cpu":
            packed = f"{AS_ON_CPU}{packed}"
        given.append("quantization_config=quantization")
    ours = "import bitsandbytes.nn.modules\n" if AS_ON_CPU in packed else ""
    return (
        f"{ours}from peft import PeftModel\nfrom transformers import {classes}\n\n{packed}"
        f"base = {auto}.from_pretrained({', '.join(given)})\n"
        f"model = PeftModel.from_pretrained(base, {at})\n{tokenizer}"
    )


def _asked(run: Run) -> str:
    """Lines that ask it, with the system text that every row had."""
    if not run.task().is_chat:
        return ""
    template = ChatTemplate.of(tokenizer_of(run.adapter))
    system, thinks = template.system, template.thinks_by_default
    shape = f', "enable_thinking": {thinks}, "thinking": {thinks}' if template.has_thinking else ""
    letters = f", stop_strings={template.stop_strings!r}, tokenizer=tokenizer" if template.stop_strings else ""
    asked = [{"role": "system", "content": system}] if system else []
    asked.append({"role": "user", "content": "Hello"})
    return (
        f"asked = {asked!r}\n"
        'how = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True'
        f"{shape}}}\n"
        "ids = tokenizer.apply_chat_template(asked, **how).to(model.device)\n"
        f"ends = {template.stop_ids(thinks)!r}  # tokens that end an answer\n"
        f"said = model.generate(**ids, max_new_tokens=256, do_sample=False, eos_token_id=ends{letters})\n"
        'print(tokenizer.decode(said[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).strip())\n'
    )
