"""Files that survive a crash, caches of bounded size, digests of what they hold."""
