"""Several values for some settings of a recipe: queued runs that belong together, ranked when they have ended.

    plan = plan_of(recipe, {"training.learning_rate": "1e-4, 3e-4", "method.rank": "8..64 step x2"})
    plan = checked(plan, settings)                # every member as a start would check it; raises UserError
    sweep = Sweeps(settings.sweeps, store).start(plan, Halving(keep=0.5, when=(0.25, 0.5)))
    supervisor.wake()                             # its runs wait in the queue by now

    plan.members                                  # [Member(values, recipe)], what a dry run shows
    sweep.ranked()                                # [RankedRun], the best first: what the list of one shows
    sweeps.list(); sweeps.get(id); sweeps.of_run(run_id); sweep.stop()

Values are typed as a list ("1e-4, 3e-4"; "cosine, linear"), a range ("8..64 step 8", by a factor "8..64 step x2", so
many "0..0.1 in 5"), a log range ("1e-5..1e-3 log 5"), or parts of these with commas between. Only a random sample may
draw from a range without steps ("0..0.1", "1e-5..1e-3 log"). From Python a list does as well.
"""

from .halving import Decision, Halving
from .plan import MOST_RUNS, Member, Plan, checked, plan_of
from .ranking import RankedRun
from .store import Sweep, Sweeps
from .values import Drawn, Listed, values_of

__all__ = [
    "MOST_RUNS",
    "Decision",
    "Drawn",
    "Halving",
    "Listed",
    "Member",
    "Plan",
    "RankedRun",
    "Sweep",
    "Sweeps",
    "checked",
    "plan_of",
    "values_of",
]
