"""The page "Use it" of a run: the adapter in other programs, and other programs that ask it here."""

import json
from html import escape

from ...formatting import size
from ...runs import Run
from .code_block import code_block
from .export_part import exports_part, servers_part


def use_page(run: Run, may_change: bool, address: str, is_own: bool = True) -> str:
    """How it is used elsewhere: the adapter's size, Python lines that load it, and how programs ask it.

    address: of the page, for programs. is_own: may keys that are made here ask it? A run that is shared is talked to on
    the page.
    """
    adapter = run.newest_adapter()
    if adapter is None:
        return (
            '<p class="quiet">Nothing is saved yet. The adapter is there after the first checkpoint, which also opens '
            "the chat.</p>"
        )
    weights = sum(path.lstat().st_size for path in adapter.glob("*.safetensors"))
    name = "The finished adapter" if adapter == run.adapter else "The newest checkpoint"
    model = run.read_recipe().recipe.base_model
    place = model.id if may_change or model.source == "hub" else ""
    base = place if model.source in ("hub", "folder") and place else "path/to/the/base/model"
    lines = (
        "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"base = AutoModelForCausalLM.from_pretrained({base!r})\n"
        f'model = PeftModel.from_pretrained(base, "{run.id}")  # the unpacked zip\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{run.id}")'
    )
    folder = f'<p class="quiet">It lies in <code translate="no">{escape(str(adapter))}</code></p>' if may_change else ""
    return (
        f'<h3>Adapter (PEFT)</h3><p class="quiet">{name}, {size(weights)} of weights. It needs its base model: '
        f'<b translate="no">{escape(model.title)}</b>.</p>{folder}'
        f"{code_block(lines)}{_for_owner(run, address, is_own) if may_change else ''}"
    )


def _for_owner(run: Run, address: str, is_own: bool) -> str:
    return f"{exports_part(run)}{servers_part(run)}{_for_programs(run, address) if is_own else ''}"


def _for_programs(run: Run, address: str) -> str:
    """Asked through the endpoint beside this page, as OpenAI's interface is."""
    body = {"model": run.id, "messages": [{"role": "user", "content": "Hello"}]}
    curl = f"curl {address}/v1/chat/completions -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    python = (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{address}/v1", api_key="gw-...")\n'
        f'asked = [{{"role": "user", "content": "Hello"}}]\n'
        f'print(client.chat.completions.create(model="{run.id}", messages=asked).choices[0].message.content)'
    )
    gradio = (
        "from gradio_client import Client\n\n"
        f'client = Client("{address}")  # with a login: auth=("NAME", "PASSWORD")\n'
        f'print(client.predict("Hello", run="{run.id}", api_name="/chat"))'
    )
    return (
        "<h3>For programs</h3>"
        '<p class="quiet">While this page is open on this machine, programs ask it as they ask OpenAI. From another '
        f"machine, or as soon as there is a key, they show one of those below.</p>"
        f"{code_block(curl)}{code_block(python)}{code_block(gradio)}"
    )
