"""Trains recipes one after the other, as one of the processes that share them: run by test_processes.py, which is the
first process itself. Each line of its standard input has the port where they meet, for how many seconds it
waits there, and the folder of a run.
"""

import datetime
import os
import sys
from pathlib import Path

import torch

from qlora_app.train import world
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.preferences.trainer import trainer_for
from qlora_app.train.rank import own_copy
from qlora_app.train.setup import prepare
from qlora_app.train.world import ALONE, World, joined


def train(out, of=ALONE):
    """[loss before it is rounded, norm of the gradients] of every step."""
    recipe = out.run.recipe()
    job = prepare(out, recipe, processes=of.size).shared_by(of)
    with torch.no_grad():
        for name, p in job.model.named_parameters():
            if "lora_B" in name:  # at the start they are nothing, and half of the gradients too
                p.normal_(0, 0.05, generator=torch.Generator().manual_seed(len(name)))
    reporter = MetricsCallback(out, [], 0)
    trainer = trainer_for(job, reporter, [reporter])
    seen = []
    before = trainer.log
    trainer.log = lambda logs, *more: (seen.append((logs.get("loss"), logs.get("grad_norm"))), before(logs, *more))
    trainer.train()
    return [one for one in seen if one[0] is not None], reporter.tokens


def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        port, patience, folder = line.strip().split(" ", 2)
        world.PATIENCE = datetime.timedelta(seconds=int(patience))
        os.environ["QLORA_APP_HOME"] = str(Path(folder).parents[1])
        with joined(World(1, 2), int(port)) as both, own_copy(Path(folder)) as out:
            train(out, both)


if __name__ == "__main__":
    main()
