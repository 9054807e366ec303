"""Pretrain the starter base from nothing on the generated corpus:  python pretrain.py --out base

2.8 million parameters, two CPU cores, no download. Steps and data are seeded: the same command gives the same data
and schedule (bit-equal weights only on the same processor and library versions).
"""
import argparse
import json
import random
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from .corpus import document
from .tokenizer import train_tokenizer


def packed_batches(tokenizer, batch, length, seed):
    """Documents one after another, each opened by the end-of-text token, cut into rows of `length` tokens."""
    rng, ids = random.Random(seed), []
    while True:
        while len(ids) < batch * length:
            for doc in tokenizer([document(rng) for _ in range(256)])["input_ids"]:
                ids += [tokenizer.bos_token_id] + doc
        rows, ids = ids[:batch * length], ids[batch * length:]
        yield torch.tensor(rows).view(batch, length)


def learning_rate_share(step, steps, warmup=100, steady=.55, floor=.02):
    """Warm up, hold, then fall in a straight line."""
    if step < warmup: return (step + 1) / warmup
    left = (steps - step) / (steps * (1 - steady))
    return min(1, max(floor, left))


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--out", required=True)
    ask.add_argument("--steps", type=int, default=3900)
    ask.add_argument("--batch", type=int, default=16)
    ask.add_argument("--length", type=int, default=256)
    ask.add_argument("--lr", type=float, default=3e-3)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--save-every", type=int, default=1300)
    args = ask.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    tokenizer = train_tokenizer()
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, rope_theta=10000.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    # Muon for the matrices learns about twice as much per step here as AdamW alone; embeddings and norms stay with AdamW.
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [torch.optim.Muon(matrices, lr=args.lr, weight_decay=.05, adjust_lr_fn="match_rms_adamw"),
                  torch.optim.AdamW(others, lr=args.lr, betas=(.9, .95), weight_decay=0.0, fused=True)]
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    bf16 = "avx512_bf16" in flags or "amx_bf16" in flags
    train, check = packed_batches(tokenizer, args.batch, args.length, 11), next(packed_batches(tokenizer, 64, args.length, 999))

    def save(folder):
        import copy
        copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    @torch.no_grad()
    def check_loss(): return model(input_ids=check, labels=check, use_cache=False).loss.item()

    began, recent = time.time(), []
    with open(out / "pretrain_log.jsonl", "w", buffering=1) as log:
        for step in range(args.steps):
            share = learning_rate_share(step, args.steps)
            for optimizer in optimizers: optimizer.param_groups[0]["lr"] = args.lr * share
            rows = next(train)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = model(input_ids=rows, labels=rows, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            recent = recent[-49:] + [loss.item()]
            if (step + 1) % 50 == 0:
                row = dict(step=step + 1, loss=round(sum(recent) / len(recent), 4), lr=round(args.lr * share, 6),
                           seconds=round(time.time() - began), tokens=(step + 1) * args.batch * args.length,
                           tokens_per_s=round((step + 1) * args.batch * args.length / (time.time() - began)))
                if (step + 1) % 500 == 0 or step + 1 == args.steps: row["held_out_documents_loss"] = round(check_loss(), 4)
                print(json.dumps(row), flush=True)
                log.write(json.dumps(row) + "\n")
            if (step + 1) % args.save_every == 0 and step + 1 < args.steps: save(out / f"checkpoint-{step + 1}")
    save(out)


if __name__ == "__main__":
    main()
