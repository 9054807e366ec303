"""How contestants write their answers: all of them in the same way."""

from typing import Literal

from ..choices import Choices, setting
from ..inference.session import Decoding


class AnswerDecoding(Choices):
    """As in `generate` of transformers, and as OpenAI names it. Every question has a seed of its own, made of this."""

    max_new_tokens: int = setting(256, "Max new tokens", "An answer ends here at the latest.", ge=1, le=4096)
    temperature: float = setting(0.0, "Temperature", "0: always the likeliest token.", ge=0, le=2)
    top_p: float = setting(1.0, "Top p", "Only the likeliest tokens that have this share together.", ge=0.01, le=1)
    seed: int = setting(0, "Seed", "The same seed draws the same answers again.", ge=0, le=2**31)
    thinking: Literal["auto", "on", "off"] = setting(
        "auto",
        "Reasoning",
        "Does the model reason before it answers? As trained: as most examples did.",
        labels={"auto": "As trained", "on": "Think first", "off": "Answer at once"},
    )

    def for_question(self, place: int) -> Decoding:
        """What the chat's models take; place: of the question in its set."""
        return Decoding(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            base_temperature=self.temperature,
            greedy=self.temperature == 0,
            top_p=self.top_p,
            seed=self.seed + place,
            thinking=self.thinking,
        )
