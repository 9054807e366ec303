"""Losses over answer options (T-Few, Liu et al. 2022, section 3.2): wrong ones unlikely, the
right one the likeliest for its length.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from ..messages import IGNORED

if TYPE_CHECKING:
    import torch

SPARE = 1e-2  # the authors' program adds it inside the logarithm, so that a certain wrong token costs no infinity


class Scores(NamedTuple):
    """Log-probabilities of all options of a micro-batch, as rows [options, tokens]."""

    tokens: "torch.Tensor"  # of each token; 0 where the option has none
    there: "torch.Tensor"  # is there a token of the option?
    question: "torch.Tensor"  # [options], to which example an option belongs
    right: "torch.Tensor"  # [options], is it the right one?

    def means(self) -> "torch.Tensor":
        """[options], mean log-probability a token."""
        return self.tokens.sum(1) / self.there.sum(1).clamp(min=1)


def option_scores(model: Any, options: "dict[str, torch.Tensor]") -> Scores:
    """Read all options in one forward pass.

    `options`: input_ids, attention_mask, labels [options, tokens], question, right [options].

    An encoder-decoder gives one logit a label; a decoder predicts each token from the ones before it.
    """
    read = {name: value for name, value in options.items() if name not in ("question", "right")}
    logits, labels = model(**read).logits, options["labels"]
    if not model.config.is_encoder_decoder:
        logits, labels = logits[:, -labels.shape[1] :][:, :-1], labels[:, 1:]
    there = labels != IGNORED
    chosen = logits.float().log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return Scores(chosen * there, there, options["question"], options["right"].bool())


def unlikelihood(scores: Scores) -> "torch.Tensor":
    """- sum log(1 - p) over the tokens of wrong options, divided by their number; 0 without any.

    Of the paper's formula only the end is bent, where p is nearly 1. The authors' program takes -log(1 - p + 0.01),
    which is negative for a p below 0.01, so that a good model would show a loss below nothing. Here the sum is divided
    by 1.01: the gradients are the authors', and what is not likely at all costs 0, as in the paper.
    """
    wrong = scores.there & ~scores.right[:, None]
    costs = -((1 - scores.tokens.exp() + SPARE) / (1 + SPARE)).log()
    return (costs * wrong).sum() / wrong.sum().clamp(min=1)


def length_normalized(scores: Scores) -> "torch.Tensor":
    """Cross-entropy of choosing the right option by mean log-probability a token; its mean over the examples.

    Examples are numbered from 0, and each has one right option; they stand in order.
    """
    import torch

    means, examples = scores.means(), range(int(scores.question.max()) + 1)
    every = torch.stack([means[scores.question == example].logsumexp(0) for example in examples])
    return (every - means[scores.right]).mean()
