"""The Train tab: a form on the left, the run on the right."""
