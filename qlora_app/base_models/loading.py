"""Opening a base model: the one place, so that its guards hold for training, chat and scores alike."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .apart import check_opening, keep_apart
from .cards import CPU, Card, device_map
from .choice import ModelChoice
from .config import read_config
from .families import heads_in_use
from .headers import tensor_shapes
from .hub import kept_folder, not_here
from .recognition import (
    Facts,
    facts_of_folder,
    layer_names,
    rows_missing,
    tasks_of,
    weight_files,
)
from .shapes import shapes_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# transformers would leave output heads alone by default, but passing a list replaces its own. (T5's `wo` it keeps in 32
# bit itself.)
NEVER_QUANTIZED = heads_in_use()
# What a model is mostly taken for -> transformers' list of the families that can be opened for it.
FAMILY_LISTS = {"chat": "CAUSAL_LM", "text_to_text": "SEQ_TO_SEQ_CAUSAL_LM"}
BYTES_HELD = {"nf4": 0.6, "fp4": 0.6, "int8": 1.1}  # of a parameter, embeddings and what else stays whole included
MOST_TIMES, ROOM = 4, 100_000_000  # parameters a config may seem to describe beyond those of its files
# Downloading is done elsewhere; opening never needs a network.
SAFELY = {"trust_remote_code": False, "local_files_only": True}


_importing = threading.Lock()


def import_everything() -> None:
    """Import what answering needs. One thread at a time: transformers imports its parts when they are first asked for,
    and a second thread that asks meanwhile is told that they are not there.
    """
    with _importing:
        import peft  # noqa: F401
        import transformers.models.llama.modeling_llama  # noqa: F401
        from transformers import (  # noqa: F401
            AutoConfig,
            AutoModelForCausalLM,
            AutoTokenizer,
            BitsAndBytesConfig,
            StoppingCriteria,
        )


def import_tokenizers() -> None:
    """Import what cutting texts into tokens needs, as `import_everything` does."""
    with _importing:
        from transformers import AutoTokenizer  # noqa: F401


def load_tokenizer(choice: ModelChoice) -> "PreTrainedTokenizerBase":
    """The model's own tokenizer; a missing pad token becomes the end token (masked by length, never by id)."""
    import_tokenizers()
    from transformers import AutoTokenizer

    folder = folder_of(choice)
    check_opening(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **SAFELY)
        keep_apart(tokenizer)
    except Exception as error:  # the folder is anybody's, and the library has many errors for it
        raise UserError(
            "model.tokenizer_not_opened",
            "The tokenizer of {title} cannot be opened ({reason}). Download the model again.",
            title=choice.title,
            reason=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:160]}",
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    choice: ModelChoice,
    auto_class: str = "AutoModelForCausalLM",
    labels: tuple[str, ...] = (),
    quantize: bool = True,
    to_divide: bool = False,
) -> "PreTrainedModel":
    """The base model, quantized as chosen, or left to a method that quantizes it itself. Every part of the app loads
    through here, so that the guards always hold.

    `to_divide`: in main memory, with 4-bit codes stored in the type of everything else, as FSDP wants them: what no
    single GPU can hold is divided before it goes there.

    `auto_class` is the class of transformers that its task wants; with `labels` it gets a head that chooses among them.
    What the model's files do not hold of it, such as that head, is drawn from the same seed every time, and named in
    `new_parts`.
    Raises UserError where the model cannot be opened, or would be computed wrongly on this processor.
    """
    import torch
    import transformers

    if problems := choice.problems():
        raise UserError.of(next(iter(problems.values())))
    _check_size(choice)
    _quiet_libraries()
    _keep_gradients_after_evaluation()
    kind = getattr(transformers, auto_class)
    with torch.random.fork_rng(enabled=bool(labels)):
        if labels:
            torch.manual_seed(0)
        model, found = kind.from_pretrained(
            str(folder_of(choice)),
            dtype=compute_type(choice),
            device_map={"": "cpu"} if to_divide else device_map(cards_here(), bytes_of(choice, quantize)),
            quantization_config=_quantization(choice, kind, labels, to_divide) if quantize else None,
            use_safetensors=True,
            output_loading_info=True,
            **_head(labels),
            **SAFELY,
        )
    if choice.precision in ("nf4", "fp4", "int8"):
        _let_go_of_files(model)
    model.new_parts = _new_parts(choice, model, found, bool(labels))
    model.opened_from = str(folder_of(choice))  # where a method finds the weights as they were before rounding
    if choice.source == "hub":  # an adapter names its base: by its id, which is the same on every machine
        model.name_or_path = model.config._name_or_path = choice.id
    learn_in_32_bits(model)
    if not torch.cuda.is_available():
        from .cpu_layers import norm_in_one_step, unpack_less

        unpack_less(model)
        norm_in_one_step(model)
    model.config.use_cache = False  # with a cache, packed examples would read each other (no error, wrong loss)
    return model


def _head(labels: tuple[str, ...]) -> dict[str, Any]:
    """What `from_pretrained` is told of a head that chooses among labels; nothing without them."""
    if not labels:
        return {}
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
        "problem_type": "single_label_classification",
        "ignore_mismatched_sizes": True,
    }


def check_vocabulary(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raises UserError where the tokenizer knows a token for which the model has no row in its embeddings."""
    rows = model.get_input_embeddings().weight.shape[0]
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    if beyond:
        raise UserError.of(rows_missing(beyond, rows))


def _let_go_of_files(model: "PreTrainedModel") -> None:
    """Copies what is not quantized and still lies in the model's mapped files. As long as one number does, every page
    of them that was read stays in this process's memory, those of the layers quantized long ago too."""
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.device.type == "cpu":
            parameter.data = parameter.data.clone()


def _new_parts(choice: ModelChoice, model: "PreTrainedModel", found: dict[str, Any], has_head: bool) -> list[str]:
    """The outermost modules of which the model's files hold nothing. Only a head may be missing: all else was to be
    pretrained.
    """
    new = keys_missing(found)
    if new and not has_head:
        raise UserError(
            "model.head_missing",
            "The files of {title} do not hold all of the model that this task needs ({missing} is missing). "
            "Choose another task, or another copy of the model.",
            title=choice.title,
            missing=min(new),
        )
    return new_parts(model, new)


def keys_missing(found: dict[str, Any]) -> set[str]:
    """Names of weights that are not in a model's files, or have another size there. found: what transformers says of
    its loading.
    """
    return {*found["missing_keys"], *(key for key, *_ in found.get("mismatched_keys") or [])}


def new_parts(model: "PreTrainedModel", new: set[str]) -> list[str]:
    """The outermost modules all of whose weights are among `new`."""
    parts: list[str] = []
    for name, module in model.named_modules() if new else ():  # from the outside to the inside
        is_inside_another = any(name.startswith(f"{part}.") for part in parts)
        if not name or is_inside_another:
            continue
        inside = [f"{name}.{key}" for key in module.state_dict(keep_vars=True)]
        if inside and new.issuperset(inside):
            parts.append(name)
    return parts


def folder_of(choice: ModelChoice) -> Path:
    """Where the files of a model lie on this machine. Raises UserError for a Hub model that was not downloaded."""
    if choice.source != "hub":
        return choice.folder
    if folder := kept_folder(choice):
        return folder
    raise not_here(choice)


def facts_here(choice: ModelChoice) -> Facts | None:
    """What the config.json of a model on this machine tells, at once: its parameters are not counted, its other files
    not looked at. None for any other model.
    """
    config = _config_here(choice)
    if not config:
        return None
    return Facts(name=choice.title, config=config, parameters=None, dtype="", has_template=False)


def tasks_here(choice: ModelChoice) -> tuple[str, ...]:
    """What a model that is on this machine can learn, what it is mostly taken for first; nothing for any other."""
    config = _config_here(choice)
    return tasks_of(config) if config else ()


def _config_here(choice: ModelChoice) -> dict[str, Any]:
    try:
        config = read_config(folder_of(choice) / "config.json")
    except (UserError, OSError):
        return {}
    return config if isinstance(config, dict) else {}


def layers_of(choice: ModelChoice) -> set[str]:
    """Last names of its linear layers; empty for a model that is not on this machine."""
    try:
        return layer_names(folder_of(choice))
    except UserError:
        return set()


def check_family(config: dict[str, Any]) -> None:
    """Raises UserError for a family that this version of transformers cannot open."""
    import transformers
    from transformers.models.auto import modeling_auto as known

    mostly = next(iter(tasks_of(config)), "")
    name = FAMILY_LISTS.get(mostly, "SEQUENCE_CLASSIFICATION")
    if config.get("model_type") not in getattr(known, f"MODEL_FOR_{name}_MAPPING_NAMES"):
        raise UserError(
            "model.family_unknown",
            "Models of the family {family!r} are unknown to this version of transformers ({version}). Choose "
            "another model, or update transformers.",
            family=config.get("model_type"),
            version=transformers.__version__,
        )


def compute_type(choice: ModelChoice) -> "Any":
    """torch dtype of everything that is not quantized."""
    import torch

    kind = choice.computes_in("cuda" if torch.cuda.is_available() else "cpu")
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[kind]


def cards_here() -> list[Card]:
    """The GPUs that torch sees, or the CPU. Loads torch."""
    import torch

    if not torch.cuda.is_available():
        return [CPU]
    is_amd = torch.version.hip is not None  # whose "capability" is a number of AMD's own
    cards = []
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        capability = None if is_amd else (facts.major, facts.minor)
        cards.append(Card(name=facts.name, capability=capability, memory=facts.total_memory, is_amd=is_amd))
    return cards


def _check_size(choice: ModelChoice) -> None:
    """Raises UserError where a config describes far more than the files hold: memory would be taken for all of it."""
    facts = facts_of_folder(folder_of(choice))
    shapes = shapes_of(facts.config)
    held = facts.parameters or 0
    if shapes and shapes.parameters > MOST_TIMES * held + ROOM:
        raise UserError(
            "model.config_too_large",
            "The config.json of {title} describes {parameters:,} parameters, and its files hold {held:,}. Download the "
            "model again.",
            title=choice.title,
            parameters=shapes.parameters,
            held=held,
        )


def bytes_of(choice: ModelChoice, quantize: bool) -> float:
    """About what the weights take in memory."""
    parameters = facts_of_folder(folder_of(choice)).parameters or 0
    held = BYTES_HELD.get(choice.precision) if quantize else None
    return parameters * (held or compute_type(choice).itemsize)


def learn_in_32_bits(model: "PreTrainedModel") -> None:
    """New parts learn whole, and the small steps of a head would be lost in 16 bits. What goes into them is widened on
    the way.
    """
    import torch

    def wide(arg: Any) -> Any:
        is_number = isinstance(arg, torch.Tensor) and arg.is_floating_point()
        return arg.float() if is_number else arg

    def widened(part: "torch.nn.Module", args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(wide(arg) for arg in args)

    for name in model.new_parts:
        part = model.get_submodule(name)
        if any(p.dtype in (torch.bfloat16, torch.float16) for p in part.parameters()):
            part.float().register_forward_pre_hook(widened)


def _quantization(choice: ModelChoice, kind: "Any", labels: tuple[str, ...], to_divide: bool = False) -> "Any":
    """transformers' quantization config, or None for 16 and 32 bit."""
    import torch
    from transformers import BitsAndBytesConfig

    if choice.precision not in ("nf4", "fp4", "int8"):
        return None
    skip = list(NEVER_QUANTIZED)
    # bitsandbytes' CPU kernel unpacks some sizes wrongly.
    is_wrong = choice.precision != "int8" and not torch.cuda.is_available()
    inputs = _linear_layers(choice, kind) if is_wrong or labels else {}
    if is_wrong:
        skip += [name for name, size in inputs.items() if size % 64 == 32]
    if labels:
        skip += _not_in_its_files(choice, list(inputs))
    if choice.precision == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=choice.precision,
        bnb_4bit_use_double_quant=choice.double_quantization,
        bnb_4bit_compute_dtype=compute_type(choice),
        bnb_4bit_quant_storage=compute_type(choice) if to_divide else torch.uint8,
        llm_int8_skip_modules=skip,
    )


def _quiet_libraries() -> None:
    """Terminals and logs are read by people: no progress bars and plans of other libraries."""
    import logging as python_logging
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # 8-bit layers would write a line at every call.
    python_logging.getLogger("bitsandbytes").setLevel(python_logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    warnings.filterwarnings("ignore", category=UserWarning, module="peft")


def _keep_gradients_after_evaluation() -> None:
    """On CPUs with AVX512-BF16, bitsandbytes repacks a 4-bit layer at its first evaluation for a kernel without
    gradients: training would go on with wrong ones, and a merge would write garbage, without an error. Switched off
    before loading.
    """
    import bitsandbytes.nn.modules as bnb_modules

    bnb_modules.has_avx512bf16 = lambda: False


def _linear_layers(choice: ModelChoice, kind: "Any") -> dict[str, int]:
    """{name of a linear layer: size of its input}, read from the shapes alone, on the meta device."""
    import torch
    from transformers import AutoConfig
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer: its weight stands the other way round

    config = AutoConfig.from_pretrained(str(folder_of(choice)), **SAFELY)
    with torch.device("meta"):
        skeleton = kind.from_config(config)
    inputs = {}
    for name, part in skeleton.named_modules():
        if isinstance(part, Conv1D):
            inputs[name] = part.nx
        elif isinstance(part, torch.nn.Linear):
            inputs[name] = part.in_features
    return inputs


def _not_in_its_files(choice: ModelChoice, layers: list[str]) -> list[str]:
    """The layers that are new: a head, or what leads to it. They learn, which quantized weights cannot.

    A file may name a layer with its model's prefix (`bert.`) or without.
    """
    keys = [f".{key}" for file in weight_files(folder_of(choice)) for key in tensor_shapes(file)]

    def is_new(layer: str) -> bool:
        weight = f".{layer}.weight"
        return not any(key.endswith(weight) or weight.endswith(key) for key in keys)

    return [layer for layer in layers if is_new(layer)]
