"""Where a run is trained: a choice beside everything that is learned, which is the same wherever that is."""

import re
from typing import Literal

from .choices import Choices, setting
from .errors import Problem, UserError
from .hardware import has_slurm
from .network import address_in
from .settings import MemberSettings, Settings
from .storage.process import ENGINES

TITLES = {"here": "This machine", **ENGINES}
SHORTEST = 10  # minutes of a machine of Hugging Face, some of which are needed to set it up
# What of sbatch a recipe may ask for: means, and whose they are. Others name files, programs or people, and a recipe
# may come from anybody.
FLAGS = (
    *(
        "account",
        "constraint",
        "cpus-per-gpu",
        "cpus-per-task",
        "exclude",
        "exclusive",
        "gpus",
        "gpus-per-node",
        "gres",
    ),
    *("licenses", "mem", "mem-per-cpu", "mem-per-gpu", "nodelist", "qos", "reservation", "tmp"),
)
# The settings that only some places make use of, and which.
USED_AT = {
    "nodes": ("slurm", "here"),
    "network": ("slurm", "here"),
    "join_minutes": ("slurm", "here"),
    "partition": ("slurm",),
    "flags": ("slurm",),
    "minutes": ("slurm", "hf_jobs"),
    "gpus": ("ray",),
    "flavor": ("hf_jobs",),
}
NO_CLUSTER = Problem(
    "ray.no_address",
    "Which cluster? Set QLORA_APP_RAY to the address of its jobs, such as http://head:8265, and start again.",
)
NO_TOKEN = Problem(
    "rent.no_token",
    "Hugging Face Jobs need a token: set QLORA_APP_HUB_TOKEN to one that may write and start jobs, and begin again.",
)
_FLAG = re.compile(rf"--({'|'.join(FLAGS)})(=[\w.,:*&|+@/\[\]-]+)?", re.ASCII)


class Place(Choices):
    """Which place, and how many of its machines and their processes share each step."""

    where: Literal["here", "slurm", "ray", "hf_jobs"] = setting(
        "here",
        "Where to train",
        "On this machine, on a cluster whose Slurm or Ray is asked from here, or on a rented machine of Hugging Face.",
        labels=TITLES,
    )
    processes: int = setting(
        1,
        "Processes",
        "How many share each step, every one on a GPU of its own, or on some of a CPU's cores. A step is the same. "
        "0: one for each GPU.",
        ge=0,
        le=64,
    )
    nodes: int = setting(
        1,
        "Nodes",
        "How many machines share each step, each with as many processes. They need one disk and a private network.",
        ge=1,
        le=64,
    )
    network: str = setting(
        "",
        "Network of the nodes",
        "Where the first machine waits for the others: one of its addresses, a network such as 10.1.0.0/16, or an "
        "interface. Empty: the only private one.",
        max_length=64,
        pattern=r"^[\w.:/-]*$",
    )
    join_minutes: int = setting(
        10, "Wait for nodes", "So many minutes the first machine waits for the others.", ge=1, le=10_000
    )
    share: Literal["ddp", "fsdp"] = setting(
        "ddp",
        "Base in each process",
        "Data parallel is quicker. FSDP2 is for a base that one GPU cannot hold: each process keeps a part of it, and "
        "the whole adapter.",
        labels={"ddp": "Whole: data parallel (DDP)", "fsdp": "A part: FSDP2"},
    )
    partition: str = setting("", "Slurm partition", "Empty: the cluster's default.", max_length=100)
    minutes: int = setting(
        0,
        "Time limit",
        "Minutes; the run is saved before they are over. 0: the cluster's own, at Hugging Face 120.",
        ge=0,
    )
    flags: str = setting("", "Slurm flags", "More options of sbatch, such as --gres=gpu:2 --mem=64G.", max_length=1000)
    gpus: int = setting(1, "GPUs of Ray", "How many the cluster is asked for. 0: processors only.", ge=0, le=64)
    flavor: str = setting(
        "a10g-small",
        "Machine of Hugging Face",
        "What is rented, such as t4-small, l4x1, a10g-small. Its price is said before the start.",
        max_length=40,
        pattern=r"^[a-z0-9-]*$",
    )

    def count(self, devices: int) -> int:
        """How many processes that are on each machine, if it has so many GPUs."""
        return self.processes or max(1, devices)

    def world(self, devices: int) -> int:
        """How many processes that are in all."""
        return self.nodes * self.count(devices)

    def divides(self, processes: int) -> bool:
        """Is the base divided among so many? One alone has it whole, whatever was asked for."""
        return self.share == "fsdp" and processes > 1

    def refused_flags(self) -> list[str]:
        """The words of `flags` that are no option a recipe may give."""
        return [word for word in self.flags.split() if not _FLAG.fullmatch(word)]

    def problems(self, batch_size: int, devices: int, cores: int) -> dict[str, Problem]:
        """What speaks against it on a machine with so many GPUs and cores, by setting."""
        count, world = self.count(devices), self.world(devices)
        if self.nodes > 1 and (problem := self._nodes_problem()):
            return {"launch.network" if self.where == "here" else "launch.nodes": problem}
        if self.where != "here":
            if self.where == "slurm" and (refused := self.refused_flags()):
                return {"launch.flags": flags_problem(refused)}
            if self.where == "hf_jobs" and 0 < self.minutes < SHORTEST:
                return {"launch.minutes": too_short(self.minutes)}
            if not self.processes:
                return {
                    "launch.processes": Problem(
                        "launch.unknown_devices",
                        "How many GPUs a node of the cluster has is not known here. Say how many processes.",
                    )
                }
            devices = cores = count
        if world == 1:
            return {}
        if devices and count > devices:
            problem = Problem(
                "launch.too_few_devices",
                "{count} processes need a GPU each, and this machine has {devices}. Choose at most so many.",
                count=count,
                devices=devices,
            )
        elif not devices and count > cores:
            problem = Problem(
                "launch.too_few_cores",
                "{count} processes need a core each, and this machine has {cores}. Choose at most so many.",
                count=count,
                cores=cores,
            )
        elif batch_size % world:
            problem = Problem(
                "launch.uneven_step",
                "A step of {batch} examples cannot be divided among {count} processes. Choose a batch size of which "
                "each gets the same part, such as {near}.",
                batch=batch_size,
                count=world,
                near=world * max(1, round(batch_size / world)),
            )
        else:
            return {}
        return {"launch.processes": problem}

    def _nodes_problem(self) -> Problem | None:
        """Why several machines cannot share a step there."""
        if self.where not in USED_AT["nodes"]:
            return Problem(
                "launch.no_nodes",
                "Several nodes are possible on this machine with others beside it, and with Slurm; not at {where}. "
                "Choose one node.",
                where=TITLES[self.where],
            )
        try:
            if self.where == "here":
                address_in(self.network)
        except UserError as error:
            return error.problem
        return None


def too_short(minutes: int) -> Problem:
    return Problem(
        "launch.too_short",
        "{minutes} minutes are over before anything is learned: the machine is set up first. Choose at least {least}.",
        minutes=minutes,
        least=SHORTEST,
    )


def flags_problem(refused: list[str]) -> Problem:
    return Problem(
        "launch.flags",
        "Slurm flags may not have {word}. They are written as --gres=gpu:2, and may be: {known}.",
        word=refused[0],
        known=", ".join(FLAGS),
    )


def no_slurm(program: str) -> Problem:
    return Problem(
        "slurm.not_here",
        "There is no {program} on this machine, so Slurm cannot be asked. Train on this machine, or begin where "
        "Slurm's commands are.",
        program=program,
    )


def lacking(where: str, settings: Settings) -> Problem | None:
    """What this installation lacks to reach a place; None where that can be asked at least."""
    if where == "slurm" and not has_slurm():
        return no_slurm("sbatch")
    if where == "ray" and not settings.ray:
        return NO_CLUSTER
    if where == "hf_jobs" and not settings.token:
        return NO_TOKEN
    return None


def reachable(settings: Settings) -> list[str]:
    """The places that may be chosen; a member trains on this machine only."""
    if isinstance(settings, MemberSettings):
        return ["here"]
    return [where for where in TITLES if lacking(where, settings) is None]
