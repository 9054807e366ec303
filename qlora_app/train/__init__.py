"""The training kind of a job: it trains one run and writes nothing outside its folder."""
