"""What to do with a recipe on a machine: several GPUs that share its steps or hold its base together, settings that
take less memory, a smaller base. Each way is a whole recipe, of which the same checks say that it starts and fits.

    found = plan_here(recipe, shapes, store, data_folder)
    found.words, found.offers[0].recipe
"""

from .offers import Offer, Plan, Planned, plan, plan_here, planned, would_start
from .times import Expected, expected

__all__ = ["Expected", "Offer", "Plan", "Planned", "expected", "plan", "plan_here", "planned", "would_start"]
