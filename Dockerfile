# The images of the product: `--target operator`, `--target puller`, `--target builder`.
#
# BASE is any Debian 12 or newer with Python 3.11 and its venv module. The local cluster makes one from Debian packages.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS python
ENV PATH=/app/venv/bin:${PATH} \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
# Some libraries ask for the user's name; without an entry they fail.
RUN echo 'nonroot:x:65532:65532::/tmp:/usr/sbin/nologin' >> /etc/passwd
WORKDIR /app

# The installer is mounted into the builds below and is part of no image.
FROM ${BASE} AS installer
COPY requirements/installer.txt /
RUN python3 -m venv /venv && PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    /venv/bin/pip install --quiet --no-cache-dir --require-hashes --requirement /installer.txt
COPY requirements/install.sh /

FROM python AS operator
COPY requirements/operator.txt /requirements/
RUN --mount=type=bind,from=installer,target=/installer /installer/install.sh /requirements/operator.txt
COPY requirements/modelrelease /app/venv/bin/
COPY operator/modelrelease /app/modelrelease
RUN python -m compileall -q /app/modelrelease
USER 65532:65532
ENTRYPOINT ["python", "-m", "modelrelease"]

FROM python AS puller
COPY requirements/puller.txt /requirements/
RUN --mount=type=bind,from=installer,target=/installer /installer/install.sh /requirements/puller.txt
COPY model_builder /app/model_builder
RUN python -m compileall -q /app/model_builder
USER 65532:65532
ENTRYPOINT ["python", "-m", "model_builder"]

FROM python AS builder
# CUDA=no leaves 4 GB of CUDA libraries out: an image for machines without a GPU, as the local cluster uses it.
# TORCH_INDEX (with CUDA=no): a package index from which PyTorch's own build for CPUs is taken, at the version of the lock file.
ARG CUDA=yes
ARG TORCH_INDEX=
COPY requirements/builder.txt /requirements/
COPY localcluster/images/nocuda /nocuda/localcluster/images/nocuda
RUN --mount=type=bind,from=installer,target=/installer /installer/install.sh /requirements/builder.txt
COPY model_builder /app/model_builder
RUN python -m compileall -q /app/model_builder
USER 65532:65532
ENTRYPOINT ["python", "-m", "model_builder"]
