# The page in a container, for a server or a Space with the Docker SDK:
#   docker build -t guanaco-workshop .        (without a GPU, 2 GB smaller: --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu)
#   docker run -p 7860:7860 -v workshop:/data -e QLORA_APP_USER=me -e QLORA_APP_PASSWORD=something-long guanaco-workshop
FROM python:3.12-slim

# tini: an init that reaps workers whose app is gone. libgomp1: bitsandbytes computes on the CPU with it.
RUN apt-get update && apt-get install -y --no-install-recommends tini libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 user && install --directory --owner user /data

WORKDIR /home/user/app
COPY requirements.txt .
ARG PIP_EXTRA_INDEX_URL=""
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=user . .

USER user
# Inside a container only 0.0.0.0 can be reached from outside, and the app then asks for a user and a password.
ENV QLORA_APP_HOME=/data QLORA_APP_HOST=0.0.0.0 QLORA_APP_PORT=7860 HF_HOME=/data/hub PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 7860

# When process 1 of a container ends, the kernel kills every other. So it is an init that starts the app again: a run
# outlives a crash of the page here too. Stopping the container ends the runs; Resume goes on from the last checkpoint.
ENTRYPOINT ["tini", "-g", "--"]
CMD ["sh", "-c", "while :; do python app.py; sleep 3; done"]
