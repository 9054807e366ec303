"""Where rows come from: the starter, the data folder, the Hub."""
