"""Well-known benchmarks, measured by EleutherAI's lm-eval, where somebody has installed it."""
