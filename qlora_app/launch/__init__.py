"""Where a run is trained: one file a place."""
