"""What answers: a loaded model, with an adapter or without."""
