"""Every colour of the page, for light and for dark: as tokens for style/ (`var(--line)`), and for the theme."""

LIGHT = {
    "ground": "#faf8f5",  # behind everything
    "surface": "#ffffff",  # cards, the bar, lists
    "soft": "#f3efe9",  # a part of a card that is set apart
    "line": "#e0dbd4",
    "text": "#292524",
    "label": "#3f3a36",
    "muted": "#57534e",
    "accent": "#0f766e",  # links, what is chosen, the curve
    "fill": "#0f766e",  # the button that one is to press
    "fill-hover": "#115e59",
    "on-fill": "#ffffff",
    "good": "#15803d",
    "warn": "#b45309",
    "warn-text": "#92400e",  # sentences
    "held": "#b45309",  # figures of held-out data
    "third": "#7c3aed",  # the third of several curves
    "likelier": "#0284c7",  # words that training made likelier, and less so: told apart by those who see no green
    "unlikelier": "#c2410c",
    "bad": "#b91c1c",
    "bad-fill": "#b91c1c",  # the button that throws something away
    "bad-fill-hover": "#991b1b",
    "field": "#faf8f5",
    "field-line": "#8a827a",
    "hint": "#6b645d",  # what stands in an empty field
    "button": "#efebe5",
    "button-hover": "#e3ded6",
}
DARK = {
    "ground": "#16181a",
    "surface": "#1f2224",
    "soft": "#282c2f",
    "line": "#3a3e41",
    "text": "#f0eeec",
    "label": "#d6d3d1",
    "muted": "#b3aea8",
    "accent": "#2dd4bf",
    "fill": "#0f766e",
    "fill-hover": "#115e59",
    "on-fill": "#ffffff",
    "good": "#4ade80",
    "warn": "#fbbf24",
    "warn-text": "#fcd34d",
    "held": "#fbbf24",
    "third": "#c4b5fd",
    "likelier": "#38bdf8",
    "unlikelier": "#fb923c",
    "bad": "#fca5a5",
    "bad-fill": "#b91c1c",
    "bad-fill-hover": "#991b1b",
    "field": "#282c2f",
    "field-line": "#6b7075",
    "hint": "#a8a29e",
    "button": "#33383b",
    "button-hover": "#3d4346",
}


def _tokens(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


# The script look.js says on the root whether it is dark, before anything is drawn.
TOKENS = f":root {{ {_tokens(LIGHT)} }}\n:root.is-dark {{ {_tokens(DARK)} color-scheme: dark; }}\n"
