"""From rows to turns: every format of training data, and how it is recognised."""
