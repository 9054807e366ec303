"""From bytes to rows, one after another."""
