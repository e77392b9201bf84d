//! The script that moves files from the stage into their places.

use std::fmt::Write as _;

use imgc_backend::{Placement, PlacementItem, PlacementKind};

use crate::shell::quote;

/// One call an item, in order. Content lies beside the script, named by the item's number.
pub(crate) fn script(placement: &Placement) -> String {
    let mut text = String::from(FUNCTIONS);
    for (number, item) in placement.items.iter().enumerate() {
        let path = quote(if item.path.len() > 1 { item.path.trim_end_matches('/') } else { &item.path });
        let owner = owner(item);
        let mode = item.mode & 0o7777;
        let _ = match &item.kind {
            PlacementKind::Dir => writeln!(text, "dir {path} {owner} {mode:04o}"),
            PlacementKind::Symlink { target } => writeln!(text, "link {path} {owner} {}", quote(target)),
            PlacementKind::HostFile { .. } | PlacementKind::Bytes(_) => {
                writeln!(text, "file {path} {owner} {mode:04o} {number}")
            }
        };
    }
    text.push_str("rm -rf \"$d\"\n");
    text
}

fn owner(item: &PlacementItem) -> String {
    let group = item.owner.group.as_deref().map_or_else(|| "''".to_owned(), quote);
    format!("{} {group}", quote(&item.owner.user))
}

/// `own` sets `$o` to what `chown` takes. Owner before mode: changing it takes setuid bits away.
const FUNCTIONS: &str = r#"d=${0%/*}
umask 022
fail() { printf '%s\n' "$1" >&2; rm -rf "$d"; exit 1; }
try() { out=$("$@" 2>&1) || fail "$out"; }
own() {
  id -u -- "$1" >/dev/null 2>&1 || case $1 in *[!0-9]*) fail "the guest has no user \`$1\`" ;; esac
  g=$2
  if [ -z "$g" ]; then g=$(id -g -- "$1" 2>/dev/null) || g=$1; fi
  o=$1:$g
}
parents() {
  case $1 in */.|*/..|*/) fail "\`$1\` is not the path of a file" ;; esac
  p=${1%/*}
  [ -z "$p" ] || [ -d "$p" ] || try mkdir -p -- "$p"
}
free() {
  if [ -L "$1" ]; then try rm -f -- "$1"; fi
  [ ! -d "$1" ] || fail "cannot put a file at $1: the guest has a directory there"
}
dir() {
  [ ! -d "$1" ] || return 0
  own "$2" "$3"; parents "$1"
  try rm -f -- "$1"; try mkdir -m 0700 -- "$1"; try chown "$o" -- "$1"; try chmod "$4" -- "$1"
}
file() {
  own "$2" "$3"; parents "$1"; free "$1"
  try chown "$o" -- "$d/$5"; try chmod "$4" -- "$d/$5"; try mv -f -- "$d/$5" "$1"
}
link() {
  own "$2" "$3"; parents "$1"; free "$1"
  try rm -f -- "$1"; try ln -s -- "$4" "$1"; try chown -h "$o" -- "$1"
}
"#;
