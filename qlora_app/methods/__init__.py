"""The fine-tuning methods a recipe can name. Adding one: a new file here, and one more member of `Method`."""

from .lora import LoraMethod

Method = LoraMethod
