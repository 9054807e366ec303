"""Where jobs are worked on, one file a place, and the queue that starts what waits."""
