#!/bin/sh
# Installs lock files into the virtual environment /app/venv, inside an image build.
# Usage: install.sh LOCK..., with CUDA and TORCH_INDEX as the Dockerfile describes them.
set -eu
: "${CUDA:=yes}" "${TORCH_INDEX:=}"

export UV_NO_CACHE=1 UV_LINK_MODE=hardlink UV_SYSTEM_CERTS=1 UV_PYTHON_DOWNLOADS=never
uv=/installer/venv/bin/uv
nocuda='env PYTHONPATH=/nocuda python3 -B -m localcluster.images.nocuda'

install() {
    $uv pip install --quiet --python /app/venv --no-deps --compile-bytecode "$@"
}

$uv venv --quiet --python python3 /app/venv
locks=$(mktemp)
cat "$@" > "$locks"
if [ "$CUDA" = yes ]; then
    install --require-hashes --requirement "$locks"
elif [ -z "$TORCH_INDEX" ]; then
    $nocuda select "$locks" > "$locks.selected"
    install --require-hashes --requirement "$locks.selected"
    $nocuda complete /app/venv/lib/python3.11/site-packages/torch/lib
else
    $nocuda select --without-torch "$locks" > "$locks.selected"
    install --require-hashes --requirement "$locks.selected"
    install --index-url "$TORCH_INDEX" "$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$locks")"
fi
rm -f "$locks" "$locks.selected" /app/venv/.lock
