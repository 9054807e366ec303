"""One file a kind of job that is no training; `worker.KINDS` names each."""
