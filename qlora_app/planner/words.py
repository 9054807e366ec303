"""What is said of each way."""

from ..base_models.shapes import Shapes
from ..errors import Problem, joined
from ..formatting import gigabytes, millions
from ..hardware import Machine
from ..memory import AT_MOST, loaded_bytes, needed_here
from ..recipe import Recipe
from .times import Expected


def one_process(machine: Machine) -> tuple[Problem, Problem]:
    """(the way, what its button says)."""
    if machine.kind == "cpu":
        alone = Problem("saving.one_process", "one process")
        return with_less([alone]), use_settings([alone])
    return Problem("plan.alone", "one GPU, which holds it"), Problem("plan.use_one", "Use one GPU")


def too_large(recipe: Recipe, shapes: Shapes, machine: Machine, ways: list[Problem]) -> Problem:
    """What it needs, what there is, and what to do."""
    needed = needed_here(recipe, shapes, machine)
    if needed.unpageable <= AT_MOST * machine.total:
        return Problem(
            "plan.too_large_to_load",
            "While it is loaded this recipe needs {whole} of main memory; you have {have}: {ways}.",
            whole=gigabytes(loaded_bytes(recipe, shapes, machine)),
            have=gigabytes(machine.main_memory),
            ways=_either(ways),
        )
    has_shared = machine.kind == "cuda" and recipe.launch.count(machine.devices) > 1
    whole = gigabytes(needed.total)
    needs = Problem("plan.on_each", "{whole} on each GPU", whole=whole) if has_shared else whole
    return Problem(
        "plan.too_large",
        "This recipe needs {whole}; you have {have}: {ways}.",
        whole=needs,
        have=_have(machine),
        ways=_either(ways),
    )


def _have(machine: Machine) -> Problem:
    each = gigabytes(machine.total)
    if machine.kind == "cpu":
        return Problem("plan.no_gpu", "{each} of memory and no GPU", each=each)
    if machine.devices == 1:
        return Problem("plan.one_gpu", "one GPU of {each}", each=each)
    return Problem("plan.gpus", "{count} GPUs of {each}", count=machine.devices, each=each)


def _either(ways: list[Problem]) -> Problem:
    first, *others = ways
    return Problem("plan.or", "{first}; or {rest}", first=first, rest=_either(others)) if others else first


def in_time(way: Problem, takes: Expected | None) -> Problem:
    """With how long it takes, where that is known."""
    return Problem("plan.in_time", "{way}, {time}", way=way, time=takes.words()) if takes else way


def divided(recipe: Recipe, shapes: Shapes, machine: Machine) -> Problem:
    return Problem(
        "plan.divided",
        "FSDP2 on {count} GPUs (about {each} on each, and {main} of main memory while it is loaded)",
        count=recipe.launch.processes,
        each=gigabytes(needed_here(recipe, shapes, machine).total),
        main=gigabytes(loaded_bytes(recipe, shapes, machine)),
    )


def divided_with_less(recipe: Recipe, shapes: Shapes, machine: Machine, changes: list[Problem]) -> Problem:
    both = divided(recipe, shapes, machine)
    return Problem("plan.divided_with", "{divided} with {changes}", divided=both, changes=joined(changes, ", "))


def with_less(changes: list[Problem]) -> Problem:
    return Problem("plan.with", "the same with {changes}", changes=joined(changes, ", "))


def smaller(recipe: Recipe, shapes: Shapes) -> Problem:
    return Problem(
        "plan.smaller_base",
        "a smaller base, {title} ({size})",
        title=recipe.base_model.title,
        size=millions(shapes.parameters),
    )


def parallel(count: int, alone: Expected | None, together: Expected | None) -> Problem:
    """Of what one GPU holds."""
    if alone is None or together is None:
        return Problem(
            "plan.parallel",
            "One GPU holds this recipe. {count} can share each step (data parallel): at best that takes 1/{count} of "
            "the time; it was not measured.",
            count=count,
        )
    return Problem(
        "plan.parallel_in",
        "One GPU holds this recipe, {alone}. {count} can share each step (data parallel): {together}.",
        alone=alone.words(),
        count=count,
        together=together.words(),
    )


def use_gpus(count: int) -> Problem:
    return Problem("plan.use_gpus", "Use {count} GPUs", count=count)


def use_base(recipe: Recipe) -> Problem:
    return Problem("plan.use", "Use {what}", what=recipe.base_model.title)


def use_settings(changes: list[Problem]) -> Problem:
    return Problem("plan.use", "Use {what}", what=joined(changes, ", "))
