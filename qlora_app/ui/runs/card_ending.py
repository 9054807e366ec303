"""How a run that has ended went: the verdict first, and whoever wants to know has the whole proof below it."""

from html import escape
from typing import Any

from ...runs.effect import Colour, checks
from ...runs.proof import Proof
from ...runs.proof_words import Line, proof_lines
from ...runs.verdict import Verdict

SIGNS: dict[Colour, str] = {"good": "✓", "fair": "≈", "bad": "✗"}


def ending(found: Verdict | None, proof: dict[str, Any] | None) -> str:
    """The verdict on a run as one sentence, and what it rests on; then the lines of its proof, folded."""
    if found is None:
        return ""
    proved = Proof.from_json(proof) if proof else None
    saved = _saved_words(proved) if proved and found.colour != "bad" else ""
    return (
        f'<div class="verdict {found.colour}"><p class="said"><span class="sign" aria-hidden="true">'
        f"{SIGNS[found.colour]}</span> <b>{escape(found.short)}</b> <span>{escape(found.why)}</span></p>"
        + (_checks(proved) if proved else "")
        + (f'<p class="note">{escape(saved)}</p>' if saved else "")
        + (_details(proof) if proof else "")
        + "</div>"
    )


def _checks(proof: Proof) -> str:
    """What was measured beside right answers, each with how good it is: a sign, for those who see no colours."""
    lines = [
        f'<li class="{one.colour}"><span class="sign" aria-hidden="true">{SIGNS[one.colour]}</span> '
        f"<span>{escape(one.sentence)}</span></li>"
        for one in checks(proof)
    ]
    return f'<ul class="checks">{"".join(lines)}</ul>' if lines else ""


def _saved_words(proof: Proof) -> str:
    loss, lines = proof.heldout.loss, []
    if loss.before is not None and loss.after is not None and proof.heldout.exact_match.is_known:
        lines.append(f"Held-out loss: {loss.before:.2f} before, {loss.after:.2f} after.")
    if proof.reload.max_difference == 0:
        lines.append("The saved file answers the same.")
    return " ".join(lines)


def _details(proof: dict[str, Any]) -> str:
    lines = "".join(_line(line) for line in proof_lines(proof) if line.kind not in SIGNS)
    return f'<details class="proof"><summary>Details</summary>{lines}</details>' if lines else ""


def _line(line: Line) -> str:
    kind = "" if line.kind == "fact" else line.kind
    return f'<p class="{kind}">{escape(line.text)}</p>'
