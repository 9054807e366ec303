"""What stands before the page: which requests come in, from whom they are, and how much of anything one may ask for."""
