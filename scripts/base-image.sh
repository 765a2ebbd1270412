#!/bin/sh
# Makes the local container image `mleagent-base` (Debian 12 with its Python 3.11) without any
# image registry: a minimal root by debootstrap, imported into the engine. mleagent builds its
# stock image from it wherever python:3.11-slim can't be pulled. Needs root, debootstrap, and a
# Debian mirror (DEBIAN_MIRROR, default deb.debian.org); DOCKER names another engine's command.
set -eu

NAME=${1:-mleagent-base}
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
DOCKER=${DOCKER:-docker}

command -v debootstrap >/dev/null || { echo "base-image: debootstrap is missing; apt-get install debootstrap" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "base-image: debootstrap needs root; run with sudo" >&2; exit 1; }
if "$DOCKER" image inspect "$NAME" >/dev/null 2>&1; then
    echo "base-image: $NAME is there already"
    exit 0
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
echo "base-image: debootstrap bookworm (about a minute)"
if ! debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        bookworm "$root/root" "$MIRROR" >"$root/log" 2>&1; then
    tail -n 20 "$root/log" >&2
    echo "base-image: debootstrap failed; is $MIRROR reachable? DEBIAN_MIRROR names another" >&2
    exit 1
fi
rm -rf "$root"/root/var/cache/apt/archives/*.deb "$root"/root/var/lib/apt/lists/*
tar -C "$root/root" -c . | "$DOCKER" import - "$NAME" >/dev/null
echo "base-image: $NAME made"
