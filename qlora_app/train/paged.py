"""The state of torch's AdamW for the paged one of bitsandbytes: a run that goes on with that keeps what it gathered."""

from typing import Any

from torch.optim import Optimizer

NAMES = {"exp_avg": "state1", "exp_avg_sq": "state2"}  # bitsandbytes' names of the two running means


def takes_whole_state(optimizer: Optimizer) -> None:
    """From here on this optimizer of bitsandbytes, in 32 bits, loads what torch's AdamW saved as well as its own."""
    load = optimizer.load_state_dict

    def load_either(saved: dict[str, Any], *given: Any, **more: Any) -> Any:
        return load(_renamed(saved, optimizer), *given, **more)

    optimizer.load_state_dict = load_either  # type: ignore[method-assign]


def _renamed(saved: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    states = saved["state"]
    if not any("exp_avg" in state for state in states.values()):
        return saved
    groups = [
        own | {name: value for name, value in group.items() if name in own}
        for own, group in zip(optimizer.state_dict()["param_groups"], saved["param_groups"], strict=True)
    ]
    return {"state": {place: _state(state) for place, state in states.items()}, "param_groups": groups}


def _state(state: dict[str, Any]) -> dict[str, Any]:
    means = {name: state[other] for other, name in NAMES.items()}
    return {"step": int(state["step"]), **means}
