"""The embedded default: a tiny base model that knows one made-up town, and three datasets to fine-tune it on.

Nothing here needs a network: weights, tokenizer and datasets lie beside this file. `pennywick.yaml` holds the words,
`world.py` makes facts of them, `corpus.py` the documents the base was pretrained on (`pretrain.py`), and
`instructions.py` the datasets. Knowledge comes from pretraining, behaviour from fine-tuning: no wording of a held-out
fact is in the data that is trained on.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
BASE = FOLDER / "base"
DATA = FOLDER / "datasets"
LICENCE = "apache-2.0"  # as this app, which it is a part of


@dataclass(frozen=True)
class StarterDataset:
    """A dataset that comes with the package; `held_out` has the same format as `file`, is scored and never trained
    on.
    """

    name: str
    title: str
    description: str
    file: Path
    held_out: Path
    questions: list[str]


DATASETS: dict[str, StarterDataset] = {
    dataset.name: dataset
    for dataset in (
        StarterDataset(
            "helper",
            "A polite helper who knows Pennywick",
            "Questions and answers about a small town by the sea; after training the model answers instead of going "
            "on telling stories, "
            "and says so when it does not know.",
            DATA / "helper.json",
            DATA / "held_out" / "helper.json",
            [
                "Hello!",
                "Where does Theo live?",
                "what pet does the baker have",
                "Who is the teacher?",
                "What is 3 plus 4?",
                "What is the capital of Germany?",
            ],
        ),  # Theo's house and the teacher's name are held out
        StarterDataset(
            "sailor",
            "An old sailor with the same knowledge",
            "Conversations of one to three turns in a sailor's voice: the same facts as the helper's, another way of "
            "speaking.",
            DATA / "sailor.jsonl",
            DATA / "held_out" / "sailor.jsonl",
            ["Hello!", "Who is the vet?", "where does mira live", "What does an owl say?", "Can you fly a plane?"],
        ),  # the vet is held out
        StarterDataset(
            "orders",
            "Sentences into order slips",
            "An order as somebody would say it in a shop becomes a line of JSON with name, item, count and day.",
            DATA / "orders.csv",
            DATA / "held_out" / "orders.csv",
            [
                "Mira needs seven eggs by Friday.",
                "On Monday please bring Otto 12 red apples.",
                "Good morning, this is Hazel. I would like ten drums by Thursday.",
                "What is the weather tomorrow?",
            ],
        ),
    )
}
