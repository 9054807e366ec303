"""The Runs tab, and the card of one run that the Train tab shows too."""
