"""Does a saved adapter fit the model it is put on? Compared tensor by tensor, because PEFT passes over what is missing
and what nobody wants, and answers without a word.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base_models.headers import tensor_shapes
from ..errors import Problem, UserError, joined
from ..storage.reading import damage, is_regular, read_json

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
NAMED = 2  # tensors of each kind that are named
Shapes = Mapping[str, tuple[int, ...]]
Misshapen = Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]  # {tensor: (its shape, the right one)}
_MISFIT = re.compile(r"size mismatch for (\S+): .*?torch\.Size\(\[(.*?)\]\).*?torch\.Size\(\[(.*?)\]\)")


def check_saved(folder: Path) -> Shapes:
    """{tensor: shape} of an adapter's folder. Raises UserError where its files cannot be read, or where it has learned
    something in the weights of its base, on which others stand too.
    """
    if problem := damage(folder / CONFIG):
        raise _broken(folder, problem)
    if not is_regular(folder / CONFIG) or not is_regular(folder / WEIGHTS):
        missing = CONFIG if not is_regular(folder / CONFIG) else WEIGHTS
        raise _broken(folder, Problem("adapter.file_missing", "{file} is missing, or is no file.", file=missing))
    bias = (read_json(folder / CONFIG) or {}).get("bias") or "none"
    if bias != "none":
        raise UserError(
            "adapter.changes_base",
            'This adapter has learned the biases of its base as well ("bias": "{bias}"), which the base and the other '
            'adapters on it would answer with too. Train it with "bias": "none".',
            bias=str(bias)[:40],
        )
    return {name: shape for name, (_, shape) in tensor_shapes(folder / WEIGHTS).items()}


def check_fits(model: "PeftModel", folder: Path, saved: Shapes | None = None, name: str = "default") -> None:
    """Raises UserError where the adapter of a folder lacks what the model has of it, has more, or in other shapes.

    saved: what is put in, where that is not what the file holds. name: under which the model has it.
    """
    from peft import get_peft_model_state_dict

    here = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    compare({name: tuple(tensor.shape) for name, tensor in here.items()}, saved or check_saved(folder))


def compare(wanted: Shapes, saved: Shapes) -> None:
    """Raises UserError naming how many tensors do not fit, and some of them."""
    missing = sorted(wanted.keys() - saved.keys())
    surplus = sorted(saved.keys() - wanted.keys())
    common = sorted(wanted.keys() & saved.keys())
    both = {name: (saved[name], wanted[name]) for name in common}
    misshapen = {name: shapes for name, shapes in both.items() if shapes[0] != shapes[1]}
    _refuse(len(wanted), missing, surplus, misshapen)


def _refuse(wanted: int, missing: list[str], surplus: list[str], misshapen: Misshapen) -> None:
    said = []
    if missing:
        said.append(
            Problem(
                "adapter.missing",
                "{count:,} of {wanted:,} tensors are missing ({names})",
                count=len(missing),
                wanted=wanted,
                names=_some(missing),
            )
        )
    if surplus:
        said.append(
            Problem(
                "adapter.surplus",
                "{count:,} belong to nothing in this model ({names})",
                count=len(surplus),
                names=_some(surplus),
            )
        )
    if misshapen:
        names = [f"{name}: {list(is_of)}, not {list(should)}" for name, (is_of, should) in misshapen.items()]
        said.append(
            Problem(
                "adapter.misshapen", "{count:,} have another shape ({names})", count=len(misshapen), names=_some(names)
            )
        )
    if said:
        raise UserError(
            "adapter.does_not_fit",
            "This adapter does not fit its model: {what}. It was made for another model or with other settings, or is "
            "not whole. Put back the files that were trained, or train again.",
            what=joined(said, "; "),
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(name[-80:] for name in names[:NAMED])
    return f"{shown}, …" if len(names) > NAMED else shown


def check_numbers(model: Any, adapter: str = "default") -> None:
    """Raises UserError where what was learned holds something that is no number. adapter: its name on the model."""
    learned = [(name, tensor) for name, tensor in model.named_parameters() if _is_learned(name, adapter)]
    broken = [name for name, tensor in learned if not tensor.isfinite().all()]
    if broken:
        raise UserError(
            "adapter.no_numbers",
            "{count:,} tensors of this adapter hold something that is no number ({names}), so it can answer nothing. "
            "Go back to an earlier checkpoint, or train again with a lower learning rate.",
            count=len(broken),
            names=_some(broken),
        )


def _is_learned(name: str, adapter: str) -> bool:
    """Is a parameter one of an adapter's? PEFT writes the adapter's name into it, our own methods their parts'."""
    return f".{adapter}" in name or ".adapter." in name or "prompt_encoder" in name


def in_words(error: Exception, folder: Path) -> UserError:
    """What whatever a library raises while it opens an adapter is to a person."""
    if isinstance(error, UserError):
        return error
    found = _MISFIT.findall(str(error))
    if found:
        misshapen = {name: (_numbers(is_of), _numbers(should)) for name, is_of, should in found}
        try:
            _refuse(len(found), [], [], misshapen)
        except UserError as refusal:
            return refusal
    first = str(error).strip().partition("\n")[0][:200]
    reason = Problem("adapter.library", "{kind}: {reason}", kind=type(error).__name__, reason=first)
    return _broken(folder, reason)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(",") if one.strip())


def _broken(folder: Path, why: str) -> UserError:
    return UserError(
        "adapter.not_opened",
        "The adapter in {folder} cannot be opened. {why} Put back the files that were trained, or train again.",
        folder=folder.name,
        why=why,
    )
