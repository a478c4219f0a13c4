#!/bin/sh
# Makes .venv from the lock files, with the checkout itself on its path. Does nothing when it is up to date.
set -eu
cd "$(dirname "$0")/.."
locks='requirements/installer.txt requirements/dev.txt'
state="$(cat $locks "$0" | sha256sum | cut -d' ' -f1) $(pwd)"
stamp=.venv/.made-from
[ "$(cat $stamp 2>/dev/null)" = "$state" ] && exit 0

say() { printf 'venv: %s\n' "$*" >&2; }

python=$(command -v python3.11 || true)
if [ -z "$python" ]; then
    say 'Python 3.11 is needed and not on PATH: install it (Debian 12: apt-get install python3.11 python3.11-venv)'
    exit 1
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say 'installing the system package python3.11-venv'
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3.11-venv >/dev/null
    else
        say "Python's venv module is needed: apt-get install python3.11-venv"
        exit 1
    fi
fi

say "installing $(grep -c '==' requirements/dev.txt) packages, torch among them: about two minutes the first time"
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv
fi
if ! command -v uv >/dev/null; then
    .venv/bin/python -m pip install --quiet --require-hashes --requirement requirements/installer.txt
fi
PATH="$PATH:$(pwd)/.venv/bin"
UV_SYSTEM_CERTS=1 uv pip install --quiet --python .venv/bin/python --require-hashes --requirement requirements/dev.txt

# The checkout is used as it lies, without being built. `operator/` is a folder, not a package: it hides nothing.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n%s\n' "$(pwd)" "$(pwd)/operator" > "$site/modelrelease-checkout.pth"
for command in modelrelease kubectl-modelrelease; do
    sed "1s|.*|#!$(pwd)/.venv/bin/python|" requirements/modelrelease > ".venv/bin/$command"
    chmod 755 ".venv/bin/$command"
done
printf '%s' "$state" > $stamp
say 'ready: .venv/bin/modelrelease'
