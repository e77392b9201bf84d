#!/bin/sh
# Runs every test, by cargo-nextest where it is installed, else by cargo itself.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')

# Some tests build as root and look at what root's builds leave: an ordinary user runs those through sudo.
if [ "$(id -u)" != 0 ]; then
  sudo true
  # Tests start sudo without a terminal: the password must not be forgotten half-way.
  (while sleep 60; do sudo -n true || exit 0; done) &
  alive=$!
  trap 'kill "$alive" 2>/dev/null || true' EXIT
  trap 'exit 130' INT TERM
  export "CARGO_TARGET_${host}_RUNNER=$PWD/scripts/runner.sh"
fi

if command -v cargo-nextest >/dev/null 2>&1; then
  cargo nextest run --workspace --locked --no-fail-fast "$@"
else
  export "CARGO_TARGET_${host}_RUNNER=$PWD/scripts/runner.sh"
  cargo test --workspace --locked --no-fail-fast "$@"
fi
