"""How a finished adapter is served by vLLM, and an exported file by llama.cpp's server: the lines to paste."""

import shlex
from pathlib import Path
from typing import Any

import yaml

from ..errors import Problem
from ..storage.reading import read_json
from .run import Run

PORT = 8080
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of which vLLM is told one, at least as large as the adapter's


def llama_server(run: Run, file: Path) -> str:
    """The command that serves a GGUF of a run, to this machine only."""
    how = {"--model": str(file), "--alias": run.id, "--host": "127.0.0.1", "--port": str(PORT)}
    words = [word for pair in how.items() for word in pair]
    return shlex.join(["llama-server", *words, "--jinja"])


def vllm_problem(run: Run) -> Problem | None:
    """Why vLLM cannot put the adapter on its base; None where it can."""
    saved = read_json(run.adapter / "adapter_config.json") or {}
    if saved.get("peft_type") != "LORA" or run.recipe().method.quantizes_itself or saved.get("use_dora"):
        return Problem(
            "vllm.not_lora",
            "vLLM takes adapters of LoRA, and this one is of {method}. Serve the GGUF or the merged model.",
            method="DoRA" if saved.get("use_dora") else run.recipe().method.title(),
        )
    if saved.get("modules_to_save"):
        return Problem(
            "vllm.whole_layers",
            "vLLM takes no adapter with layers that learned whole ({layers}). Serve the GGUF or the merged model.",
            layers=", ".join(map(str, saved["modules_to_save"])),
        )
    if _rank(saved) > VLLM_RANKS[-1]:
        return Problem(
            "vllm.rank",
            "vLLM takes adapters up to rank {most}, and this one has {rank}. Serve the GGUF or the merged model.",
            most=VLLM_RANKS[-1],
            rank=_rank(saved),
        )
    return None


def vllm_config(run: Run) -> str:
    """A file for `vllm serve --config`, in an environment of its own: base, adapter and the chat template it learned
    with. Only where there is no `vllm_problem`.
    """
    base = run.base_model()
    saved = read_json(run.adapter / "adapter_config.json") or {}
    config: dict[str, Any] = {"model": base.id if base.source == "hub" else str(base.folder)}
    if base.revision:
        config["revision"] = base.revision
    if base.precision == "nf4":
        config["quantization"] = "bitsandbytes"  # rounded as it was while the adapter learned
    config |= {
        "served-model-name": "base",
        "enable-lora": True,
        "max-lora-rank": next(rank for rank in VLLM_RANKS if rank >= _rank(saved)),
        "lora-modules": [f"{run.id}={run.adapter}"],
        "chat-template": str(run.adapter / "chat_template.jinja"),
        "host": "127.0.0.1",
        "port": PORT,
    }
    return str(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=1000))


def asked_elsewhere(run: Run) -> str:
    """Python lines that ask either: with the system text that every row had, which other servers do not add."""
    system = str(run.trained_with().get("system") or "")
    asked = [{"role": "system", "content": system}] if system else []
    asked.append({"role": "user", "content": "Hello"})
    return (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="http://127.0.0.1:{PORT}/v1", api_key="none")\n'
        f"asked = {asked!r}\n"
        f"answer = client.chat.completions.create(model={run.id!r}, messages=asked, temperature=0)\n"
        "print(answer.choices[0].message.content)"
    )


def _rank(saved: dict[str, Any]) -> int:
    """The largest of its layers'."""
    ranks = [saved.get("r"), *(saved.get("rank_pattern") or {}).values()]
    return max((rank for rank in ranks if isinstance(rank, int)), default=0)
