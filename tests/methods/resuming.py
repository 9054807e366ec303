"""Short recipes of every method on tiny models, for tests that interrupt them."""

from qlora_app.recipe import Recipe

STEPS, HALF = 6, 3  # of two steps an epoch: it stops in the middle of the second one
METHODS = {  # every method, and what of it keeps something else
    "lora": {"rank": 4},
    "lora-rslora": {"rank": 4, "rank_stabilized": True},
    "lora-dora": {"rank": 4, "weight_decomposed": True},
    "lora-loftq": {"rank": 4, "initialisation": "loftq"},
    "lora-pissa": {"rank": 4, "initialisation": "pissa", "dropout": 0.0},
    "lora-embeddings": {"rank": 4, "train_embeddings": True},
    "adalora": {"rank": 2, "first_rank": 4},
    "qalora": {"rank": 4},
    "adamix": {"rank": 4},
    "adamix-houlsby": {"rank": 4, "kind": "houlsby"},
    "adamix-apart": {"rank": 4, "share_up": False},
    "ia3": {},
    "ia3-tfew": {"unlikelihood": 1.0, "length_normalized": 1.0},
    "meft": {"rank": 4},
    "meft-exact": {"rank": 4, "precision": "exact"},
    "vera": {"rank": 16},
    "oft": {"block_size": 16},
    "hra": {"rank": 2},
    "miss": {"rank": 8},
    "loha": {"rank": 2},
    "lokr": {"rank": 2},
    "prefix": {"tokens": 4},
    "prompt": {"tokens": 4},
}
PRECISIONS = {"qalora": "fp32", "lora-loftq": "nf4", "lora": "nf4"}


def recipe_of(base, name, packing=False, dropout=0.0, task="chat", **training):
    method = {"name": name.partition("-")[0], **METHODS[name]}
    if method["name"] in ("lora", "adalora", "adamix", "meft"):
        method.setdefault("dropout", dropout)
    short = {
        "learning_rate": 1e-2,
        "optimizer": "adamw_torch",
        "max_steps": STEPS,
        "epochs": 9,
        "batch_size": 4,
        "checkpoints": 1,
        "evaluations": 1,
        "samples": 0,
        "scored_questions": 0,
        "general_questions": 0,
        "max_length": 48,
        "packing": packing,
        "gradient_checkpointing": "off",
    }
    return Recipe.from_dict(
        {
            "base_model": {"source": "folder", "id": str(base), "precision": PRECISIONS.get(name, "fp32")},
            "method": method,
            "task": {"name": task},
            "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0},
            "training": short | training,
        }
    )


def losses(run):
    return [(row["step"], row["loss"], row["grad_norm"]) for row in run.metrics()[0] if "loss" in row]
