#!/bin/sh
# The arrows of ARCHITECTURE.md, and crates that must not come in by the back door.
set -eu
bad=0
absent() { # absent CRATE WHY
  if [ -n "$(cargo tree --workspace --locked -e normal,build -i "$1" 2>/dev/null)" ]; then echo "$1 is in the tree: $2" >&2; bad=1; fi
}
absent aws-lc-sys "it costs half a minute of build; use ring"
absent openssl-sys "use rustls with ring"

allowed() { # allowed CRATE "crates of ours that it may use"
  for dep in $(cargo tree --locked -p "$1" -e normal --depth 1 --prefix none | sed -n 's/^\(imgc[a-z-]*\) .*/\1/p' | grep -vx "$1"); do
    case " $2 " in *" $dep "*) ;; *) echo "$1 must not depend on $dep" >&2; bad=1 ;; esac
  done
}
allowed imgc-plan ""
allowed imgc-compiler "imgc-plan"
allowed imgc-lsp "imgc-compiler"
allowed imgc-backend "imgc-plan"
allowed imgc-store "imgc-plan"
allowed imgc-engine "imgc-backend imgc-store imgc-plan"
allowed imgc-agent ""
allowed imgc-guest "imgc-agent imgc-backend imgc-plan"
allowed imgc-guest-ssh "imgc-backend imgc-guest imgc-plan"
allowed imgc-formats "imgc-store imgc-plan"
allowed imgc-oci "imgc-formats imgc-store imgc-plan"
allowed imgc-qemu "imgc-backend imgc-guest imgc-guest-ssh imgc-formats imgc-store imgc-plan"
allowed tree-sitter-imgc ""
allowed imgc-rootfs "imgc-backend imgc-guest imgc-formats imgc-oci imgc-store imgc-plan"
for crate in tokio rustix; do
  if [ -n "$(cargo tree --locked -p imgc-compiler -e normal -i "$crate" 2>/dev/null)" ]; then
    echo "imgc-compiler must stay pure, but $crate is in its tree" >&2; bad=1
  fi
done
exit $bad
