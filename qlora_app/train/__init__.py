"""The worker: `python -m qlora_app.train RUN_DIR` trains one run and writes nothing outside its folder."""
