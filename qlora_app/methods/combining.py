"""Several LoRA adapters of one base made into one, by PEFT's `add_weighted_adapter`, and what that leaves out of
account put right around it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from ..choices import Choices, setting

By = Literal[
    "cat",
    "svd",
    "ties_svd",
    "dare_ties_svd",
    "dare_linear_svd",
    "magnitude_prune_svd",
    "linear",
    "ties",
    "dare_ties",
    "dare_linear",
    "magnitude_prune",
]
ON_MATRICES = ("linear", "ties", "dare_ties", "dare_linear", "magnitude_prune")  # on A and on B, each for itself


class Combination(Choices):
    """How they are combined, in PEFT's words. `rank`, `density`, `majority_sign_method` and `seed` are read by some."""

    by: By = setting(
        "cat",
        "Combination",
        "The sum of the changes, each times its weight, is what is usually meant: exact (cat), or cut to a rank (svd). "
        "Those ending in svd prune and vote on the changes, then cut. The others do so to the matrices A and B, each "
        "for itself: of different adapters that is not the sum of what they learned.",
        labels={
            "cat": "Sum, exact (cat)",
            "svd": "Sum, cut to a rank (svd)",
            "ties_svd": "TIES on the changes (ties_svd)",
            "dare_ties_svd": "DARE and TIES on the changes (dare_ties_svd)",
            "dare_linear_svd": "DARE on the changes (dare_linear_svd)",
            "magnitude_prune_svd": "Largest numbers of the changes (magnitude_prune_svd)",
            "linear": "Matrices A and B apart (linear)",
            "ties": "TIES on A and B apart (ties)",
            "dare_ties": "DARE and TIES on A and B apart (dare_ties)",
            "dare_linear": "DARE on A and B apart (dare_linear)",
            "magnitude_prune": "Largest numbers of A and B apart (magnitude_prune)",
        },
    )
    rank: int = setting(0, "Rank", "Of what is cut to a rank (svd). 0: the largest that one of them has.", ge=0, le=512)
    density: float = setting(
        0.5, "Density", "Share of the numbers that is left, for TIES, DARE and the largest numbers.", gt=0, le=1
    )
    majority_sign_method: Literal["total", "frequency"] = setting(
        "total",
        "Majority sign",
        "How TIES chooses the sign of a number: by the sum over the adapters, or by how many have it.",
        labels={"total": "By the sum", "frequency": "By the count"},
    )
    seed: int = setting(0, "Seed", "What DARE drops is drawn with it.", ge=0, le=2**32 - 1)

    @property
    def cuts(self) -> bool:
        """Does it end with a singular value decomposition, cut to a rank?"""
        return self.by.endswith("svd")

    @property
    def is_apart(self) -> bool:
        """Does it combine the matrices A and B each for itself?"""
        return self.by in ON_MATRICES

    @property
    def prunes(self) -> bool:
        return self.by not in ("cat", "svd", "linear")

    @property
    def votes(self) -> bool:
        return "ties" in self.by

    @property
    def draws(self) -> bool:
        """Is there chance in it?"""
        return "dare" in self.by

    @property
    def words(self) -> str:
        """With those settings that it reads: "ties_svd, density 0.5, rank 8"."""
        said: list[str] = [self.by]
        said += [f"density {self.density:g}"] if self.prunes else []
        said += [f"majority_sign_method {self.majority_sign_method}"] if self.votes else []
        said += [f"seed {self.seed}"] if self.draws else []
        said += [f"rank {self.rank}"] if self.cuts and self.rank else []
        return ", ".join(said)


EXACT = Combination()  # the sum of what they change


def combine(model: Any, parts: Sequence[tuple[str, float]], name: str, how: Combination = EXACT) -> None:
    """Put one adapter made of several onto a model that has them. parts: (name, weight), of LoRA without DoRA.

    PEFT takes over the first one's configuration: its scale for rsLoRA would come on top of those that stand in the
    weights already, a beginning that rounds or subtracts would change the base, and its choice of layers would leave
    out those that only others have. For the time of this each says itself on which layers it is. Raises ValueError
    where PEFT refuses them.
    """
    import torch

    names = [part for part, _ in parts]
    kept = {part: model.peft_config[part] for part in names}
    for part, config in kept.items():
        model.peft_config[part] = replace(
            config,
            target_modules=_layers_of(model, part),
            layers_to_transform=None,
            layers_pattern=None,
            exclude_modules=None,
            init_lora_weights=True,
            use_rslora=False,
        )
    given: dict[str, Any] = {"combination_type": how.by, "svd_full_matrices": False}
    given |= {"svd_rank": how.rank or None} if how.cuts else {}
    given |= {"density": how.density} if how.prunes else {}
    given |= {"majority_sign_method": how.majority_sign_method} if how.votes else {}
    try:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(how.seed)
            model.base_model.add_weighted_adapter(names, [weight for _, weight in parts], name, **given)
        model.requires_grad_(False)
    except ValueError:
        if name in model.peft_config:
            model.delete_adapter(name)
        raise
    finally:
        model.peft_config.update(kept)


def _layers_of(model: Any, name: str) -> set[str]:
    """Full names of the layers that an adapter is on."""
    from peft.tuners.lora import LoraLayer

    return {
        full
        for full, layer in model.get_base_model().named_modules()
        if isinstance(layer, LoraLayer) and (name in layer.lora_A or name in layer.lora_embedding_A)
    }
