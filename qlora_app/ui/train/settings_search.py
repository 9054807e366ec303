"""What the search among the settings knows beside the words on the page: how other programs and papers name them."""

import json
from collections.abc import Iterable
from html import escape

from ...choices import dotted_name, options
from ..language import LANGUAGES, spoken
from .form_values import FIELDS, element_id

# {setting, as recipes write it: names it has in transformers, TRL, PEFT, bitsandbytes and in papers}
SYNONYMS = {
    "note": "description comment",
    "base_model.revision": "branch commit tag",
    "base_model.precision": "quantization load_in_4bit load_in_8bit bnb_4bit_quant_type nf4 fp4 int8 bf16 bits dtype",
    "base_model.double_quantization": "double quant bnb_4bit_use_double_quant nested",
    "base_model.compute_type": "bnb_4bit_compute_dtype torch_dtype bf16 fp16 mixed precision",
    "dataset.turns": "assistant_only_loss train_on_inputs train_on_source completion_only_loss loss mask",
    "dataset.held_out_share": "validation split val_size test_size eval_dataset_size",
    "dataset.split_seed": "random_state data_seed",
    "task.name": "task_type causal_lm seq_2_seq_lm seq_cls",
    "task.prefix": "source_prefix",
    "task.masked_share": "mlm_probability",
    "task.masking": "whole word mask",
    "method.name": "peft_type adapter",
    "method.rank": "r lora_r rank",
    "method.alpha": "lora_alpha scaling",
    "method.dropout": "lora_dropout",
    "method.layers": "target_modules all-linear",
    "method.layer_names": "target_modules q_proj v_proj",
    "method.rank_stabilized": "rslora use_rslora",
    "method.weight_decomposed": "dora use_dora",
    "method.initialisation": "init_lora_weights pissa loftq",
    "method.train_embeddings": "modules_to_save embed_tokens lm_head",
    "method.first_rank": "init_r",
    "method.orthogonality": "orth_reg_weight",
    "method.block_size": "oft_block_size",
    "method.tokens": "num_virtual_tokens soft prompt",
    "training.epochs": "num_train_epochs",
    "training.max_steps": "steps iterations",
    "training.batch_size": "gradient_accumulation_steps per_device_train_batch_size micro_batch_size effective",
    "training.learning_rate": "lr learning_rate step size",
    "training.scheduler": "lr_scheduler_type linear cosine constant decay",
    "training.warmup_ratio": "warmup_steps warmup",
    "training.optimizer": "optim adam adamw paged_adamw bitsandbytes",
    "training.adam_beta2": "betas",
    "training.weight_decay": "l2 regularization",
    "training.max_grad_norm": "gradient clipping clip grad norm",
    "training.max_length": "max_seq_length cutoff_len model_max_length context sequence length truncation",
    "training.packing": "sample_packing group_by_length padding padding_free",
    "training.gradient_checkpointing": "activation checkpointing",
    "training.evaluations": "eval_steps eval_strategy evaluation_strategy validation",
    "training.measured_examples": "max_eval_samples eval_dataset_size",
    "training.checkpoints": "save_steps save_strategy save_total_limit resume",
    "training.samples": "generate predict_with_generate",
    "training.sample_questions": "prompts",
    "training.scored_questions": "exact match accuracy benchmark",
    "training.keep": "load_best_model_at_end metric_for_best_model early stopping",
    "training.seed": "random_state reproducible",
}


def search_words() -> dict[str, str]:
    """{element id of a control: what finds it beside its own words on the page}"""
    return {element_id(name): " ".join(dict.fromkeys(_words(name))) for name in FIELDS}


def search_box() -> str:
    """The field in which a setting is searched for, and how many were found."""
    return (
        '<div><input type="search" id="search-settings" placeholder="Find a setting" aria-label="Find a setting" '
        'autocomplete="off" spellcheck="false"><span class="quiet" role="status"></span>'
        "<i hidden>1 setting</i><i hidden>settings</i><i hidden>No setting is called that.</i></div>"
    )


def search_index() -> str:
    """`search_words` for the browser; the same in every language."""
    index = escape(json.dumps(search_words(), ensure_ascii=False))
    return f'<div hidden data-index="{index}"></div>'


def _words(name: str) -> Iterable[str]:
    field = FIELDS[name]
    setting = dotted_name(name)
    yield from (setting, field.title or "", field.description or "", SYNONYMS.get(setting, ""))
    for label, value in options(field) or []:
        yield from (value, label)
        yield from (spoken(label, language) for language in LANGUAGES)
