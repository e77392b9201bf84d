#!/bin/sh
# Checks for the one prerequisite: the Rust toolchain that rust-toolchain.toml names.
set -eu
wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if ! command -v cargo >/dev/null 2>&1; then
  echo "imgc is built with Rust $wanted, and there is no cargo in PATH." >&2
  echo "Install it with rustup (https://rustup.rs), then run \`rustup toolchain install $wanted\`." >&2
  exit 1
fi
found=$(rustc --version 2>&1 | sed -n 's/^rustc \([0-9.]*\).*/\1/p') || found=
if [ "$found" != "$wanted" ]; then
  echo "imgc is built with Rust $wanted, but rustc says ${found:-nothing}." >&2
  echo "Run \`rustup toolchain install $wanted\`." >&2
  exit 1
fi
