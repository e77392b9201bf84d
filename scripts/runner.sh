#!/bin/sh
# Cargo starts test binaries by this where `scripts/test.sh` says so: as an ordinary user, or without cargo-nextest.
set -eu
name=${1##*/}

# nextest knows from its settings what must not run side by side; cargo's own runner does not.
if [ -z "${NEXTEST:-}" ]; then
  case $name in
    qemu-* | faults-*) set -- "$@" --test-threads=1 ;;
  esac
fi

# They build as root and as the user `imgc-test`, enter namespaces, kill what root runs, and read root's stores.
if [ "$(id -u)" != 0 ]; then
  case $name in
    cli-* | e2e-* | faults-* | oracle-* | qemu-*) exec sudo -n --preserve-env env "PATH=$PATH:/usr/sbin:/sbin" "$@" ;;
  esac
fi
exec "$@"
