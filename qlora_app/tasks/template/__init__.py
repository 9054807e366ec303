"""A model's chat template: where each answer stands in what it writes, and the prompt that comes before an answer.

An answer is placed by its position. The conversation is rendered a second time with a sentinel in place of every text;
what stands between the sentinels is the template's own, and what stands between that in the real rendering is what
people wrote. Nothing is found by searching for its text, and no prompt is assumed to be how an answer begins: a
template may write more before an answer (an empty thinking block, a channel), and then the prompt is what really stands
there.

render.py: what it writes. traits.py: what it has a place for, how its turns begin and end. place.py: where texts stand.
chat_template.py: answers, prompts, stop tokens, token ids.
"""

from .chat_template import ChatTemplate
from .render import TRAINED_WITH, Answer, Rendering

__all__ = ["TRAINED_WITH", "Answer", "ChatTemplate", "Rendering"]
