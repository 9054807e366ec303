"""What the model is asked to produce: encoding with its loss mask, collation, the measure on held-out examples."""
