# The page in a container, for a server:
#   docker build -t guanaco-workshop .                            for machines without a GPU
#   docker build --build-arg TORCH=cu130 -t guanaco-workshop .    for NVIDIA GPUs, 3 GB larger; then also: docker run --gpus all
#   docker run -p 7860:7860 -v workshop:/data -e QLORA_APP_USER=me -e QLORA_APP_PASSWORD=something-long guanaco-workshop
# Without user and password it is a demonstration: everybody may look and chat, nobody may change anything.
FROM python:3.12-slim

# tini: an init that reaps workers whose app is gone. libgomp1: bitsandbytes computes on the CPU with it.
RUN apt-get update && apt-get install -y --no-install-recommends tini libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 user && install --directory --owner user /data

WORKDIR /home/user/app
COPY requirements.txt .
# PyTorch's own builds: cpu, or one for a CUDA version (cu126, cu130). Where it has none by that name, PyPI's build for CUDA is taken.
ARG TORCH=cpu
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/$TORCH -r requirements.txt
COPY --chown=user . .

USER user
# Inside a container only 0.0.0.0 can be reached from outside. The NVIDIA variables mean nothing without its GPUs.
ENV QLORA_APP_HOME=/data QLORA_APP_HOST=0.0.0.0 QLORA_APP_PORT=7860 HF_HOME=/data/hub PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /data
EXPOSE 7860
# Whatever answers lives: a full disk is no reason to end the trainings with the container.
HEALTHCHECK --start-period=120s CMD python -c "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['QLORA_APP_PORT'] + '/healthz', timeout=20)"

# When process 1 of a container ends, the kernel kills every other. So it is an init that starts the app again: a run
# outlives a crash of the page here too. Stopping the container ends the runs; Resume goes on from the last checkpoint.
ENTRYPOINT ["tini", "-g", "--"]
# The shell waits for the page's last words, such as runs that are sent to the Hub once more.
CMD ["sh", "-c", "trap 'over=1' TERM; while [ -z \"$over\" ]; do python app.py; [ \"$over\" ] || sleep 3; done"]
