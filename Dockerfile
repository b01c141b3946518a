# The packages of requirements.lock, for a checkout that is mounted (docs/usage.md); the project's code is not copied.
FROM python:3.11-slim
# bsdtar unpacks rar; git tells the commit of a run.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git libarchive-tools \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.lock /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock
# Relative, so it is the checkout in whose folder a command runs.
ENV PYTHONPATH=src HOME=/tmp
RUN printf '#!/bin/sh\nexec python -m avbalance "$@"\n' > /usr/local/bin/avbalance \
    && chmod +x /usr/local/bin/avbalance
WORKDIR /work
