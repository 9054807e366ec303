"""The card of a model on the Hub: what it is, how each program opens it, and what was measured. It goes into a file."""

from pathlib import Path
from typing import Any

import yaml

from ..inference.loaded import tokenizer_of
from ..runs import Run
from ..runs.proof import Proof
from ..tasks.template import ChatTemplate

RELATION = {"adapter": "adapter", "merged": "merge", "gguf": "quantized"}
LIBRARY = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}


def hub_card(run: Run, what: str, files: dict[str, Path], repository: str, licence: str) -> str:
    """what: adapter, merged or gguf. licence: of the base, as the Hub calls it; "" where that is not known."""
    base, method = run.base_model(), run.recipe().method
    from_hub = base.source == "hub"
    of = f"[{base.id}](https://huggingface.co/{base.id})" if from_hub else "a base that is not on the Hub"
    return "\n".join(
        [
            _front_matter(run, what, repository, licence),
            f"# {run.title}\n",
            f"Trained with {method.title()} on {of} by Guanaco Workshop. The run, and this revision, is `{run.id}`.\n",
            "## Use it\n",
            _use(run, what, files, repository),
            "## Measured on held-out examples\n",
            *(f"- {line}" for line in _measured(run)),
            "",
        ]
    )


def _front_matter(run: Run, what: str, repository: str, licence: str) -> str:
    base, data = run.base_model(), run.recipe().dataset
    about: dict[str, Any] = {"library_name": LIBRARY[what], "tags": ["guanaco-workshop", run.recipe().method.name]}
    if base.source == "hub":
        about |= {"base_model": base.id, "base_model_relation": RELATION[what]}
    if run.task().is_chat:
        about["pipeline_tag"] = "text-generation"
    if data.source == "hub":
        about["datasets"] = [data.id]
    if licence:
        about["license"] = licence
    shares = Proof.from_json(run.proof()).heldout.exact_match
    if shares.after is not None:
        metric = {
            "type": "exact_match",
            "value": round(shares.after, 4),
            "name": "Answers that are right word for word",
        }
        measured = {
            "task": {"type": "text-generation"},
            "dataset": {"name": "held-out questions", "type": "held-out"},
            "metrics": [metric],
        }
        about["model-index"] = [{"name": repository.rpartition("/")[2], "results": [measured]}]
    return f"---\n{yaml.safe_dump(about, sort_keys=False, allow_unicode=True)}---\n"


def _measured(run: Run) -> list[str]:
    proof = Proof.from_json(run.proof()).heldout
    lines = []
    if proof.loss.before is not None and proof.loss.after is not None:
        lines.append(f"Loss {proof.loss.after:.3f} nats a token; the base's was {proof.loss.before:.3f}.")
    if proof.exact_match.before is not None and proof.exact_match.after is not None:
        lines.append(
            f"{proof.exact_match.after:.1%} of {proof.questions} answers are right word for word; "
            f"{proof.exact_match.before:.1%} of the base's."
        )
    return lines or ["Nothing was held out."]


def _use(run: Run, what: str, files: dict[str, Path], repository: str) -> str:
    if what == "gguf":
        name = next(name for name in files if name.endswith(".gguf"))
        return f"```sh\nllama-server -hf {repository} --hf-file {name} --jinja\nollama run hf.co/{repository}\n```\n"
    return f"```python\n{_opened(run, what, repository)}{_asked(run)}```\n"


def _opened(run: Run, what: str, repository: str) -> str:
    at = f"{repository!r}, revision={run.id!r}"
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
        given.append("quantization_config=quantization")
    return (
        f"from peft import PeftModel\nfrom transformers import {classes}\n\n{packed}"
        f"base = {auto}.from_pretrained({', '.join(given)})\n"
        f"model = PeftModel.from_pretrained(base, {at})\n{tokenizer}"
    )


def _asked(run: Run) -> str:
    """Lines that ask it, with the system text that every row had."""
    if not run.task().is_chat:
        return ""
    system = ChatTemplate.of(tokenizer_of(run.adapter)).system
    asked = [{"role": "system", "content": system}] if system else []
    asked.append({"role": "user", "content": "Hello"})
    return (
        f"asked = {asked!r}\n"
        'how = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}\n'
        "ids = tokenizer.apply_chat_template(asked, **how)\n"
        "said = model.generate(**ids, max_new_tokens=64, do_sample=False)\n"
        'print(tokenizer.decode(said[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))\n'
    )
