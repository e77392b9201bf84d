//! Texts for the guest's shell.

use std::fmt::Write as _;

use imgc_backend::{Exec, Program};

/// A text as one word of the shell.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Says why a step could not start, in a line that no step would write.
pub(crate) fn complaint(token: &str) -> String {
    format!("imgc-{token}: ")
}

/// The end of such a step.
const NOT_STARTED: u8 = 199;

/// The file that runs a step: it lies alone in a directory, which it removes at its end.
///
/// The end of its standard input asks it to stop the step, politely and then by force, with everything the step
/// started; so a lost connection ends the step as well.
pub(crate) fn runner(exec: &Exec, token: &str) -> String {
    let mut text = String::from("d=${0%/*}\n");
    let _ = writeln!(
        text,
        "fail() {{ printf '%s%s\\n' {} \"$1\" >&2; rm -rf \"$d\"; exit {NOT_STARTED}; }}",
        quote(&complaint(token))
    );
    // Every variable of the environment is as chosen here, whatever the server's login sets.
    let _ = writeln!(text, "u={}", quote(&exec.user));
    text.push_str(ACCOUNT);
    keep(&mut text, "user", &user_part(exec, token), token);
    if let Program::Script { text: script, .. } = &exec.program {
        keep(&mut text, "step", script, token);
    }
    text.push_str(AS_USER);
    if !exec.network {
        text.push_str(WITHOUT_NETWORK);
    }
    text.push_str(RUN);
    text
}

/// Writes a file beside the runner.
fn keep(text: &mut String, name: &str, content: &str, token: &str) {
    let newline = if content.ends_with('\n') || content.is_empty() { "" } else { "\n" };
    let _ = write!(text, "cat >\"$d/{name}\" <<'EOF-{token}'\n{content}{newline}EOF-{token}\n");
}

/// What runs as the step's user.
fn user_part(exec: &Exec, token: &str) -> String {
    let mut text = String::from("umask 022\n");
    for (name, value) in &exec.env {
        // What the shell cannot name it cannot pass on.
        let mut letters = name.chars();
        let sound = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if sound {
            let _ = writeln!(text, "export {name}={}", quote(value));
        }
    }
    let _ = writeln!(
        text,
        "cd -- {} 2>/dev/null || {{ printf '%s%s\\n' {} {} >&2; exit {NOT_STARTED}; }}",
        quote(&exec.workdir),
        quote(&complaint(token)),
        quote(&format!("the guest has no directory {} to run in", exec.workdir)),
    );
    let (words, script) = match &exec.program {
        Program::Script { interpreter, .. } => (interpreter, " \"${0%/*}/step\""),
        Program::Argv(argv) => (argv, ""),
    };
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    let _ = writeln!(text, "exec {}{script}", words.join(" "));
    text
}

/// Finds the account of `$u`: `$n $i $g $h $s` are its name, ids, home and shell.
const ACCOUNT: &str = r#"line=$(getent passwd "$u" 2>/dev/null || grep "^$u:" /etc/passwd 2>/dev/null) || line=
n=$u i= g= h=/ s=/bin/sh
if [ -n "$line" ]; then
  IFS=: read -r n _ i g _ h s <<END
$line
END
else
  case $u in
    *[!0-9]*) fail "the guest has no user \`$u\`" ;;
    *) i=$u g=$u ;;
  esac
fi
[ -n "$s" ] || s=/bin/sh
"#;

/// Puts the command that runs the step as its user into `$@`.
const AS_USER: &str = r#"set -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  HOME="$h" USER="$n" LOGNAME="$n" SHELL="$s" /bin/sh "$d/user"
if [ "$(id -u)" != "$i" ]; then
  [ "$(id -u)" = 0 ] || fail "only root can run steps as \`$u\`"
  chmod 711 "$d" && chmod 400 "$d"/user "$d"/st[e]p 2>/dev/null
  chown "$i" "$d"/user "$d"/st[e]p 2>/dev/null
  if command -v setpriv >/dev/null 2>&1; then
    groups=--init-groups
    [ -n "$line" ] || groups=--clear-groups
    set -- setpriv --reuid "$i" --regid "$g" "$groups" "$@"
  elif [ -n "$line" ]; then
    # The words of the command are fixed, but for the home, which `su` sets itself.
    set -- su -s /bin/sh "$n" -c "PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 exec /bin/sh $d/user"
  else
    fail "the guest lacks setpriv, which running steps as \`$u\` takes"
  fi
fi
"#;

/// Wraps the command in `$@`.
const WITHOUT_NETWORK: &str = r#"if [ "$(id -u)" = 0 ] && command -v unshare >/dev/null 2>&1; then
  set -- unshare -n /bin/sh -c 'ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null; exec "$@"' sh "$@"
else
  fail "the guest lacks unshare or the right to use it, which a step without network takes"
fi
"#;

/// Runs the command in `$@` and watches the standard input.
const RUN: &str = r#"exec 3<&0
command -v setsid >/dev/null 2>&1 && set -- setsid "$@"
"$@" </dev/null 3<&- &
leader=$!
family() {
  all=" $leader "
  again=1
  while [ -n "$again" ]; do
    again=
    for stat in /proc/[0-9]*/stat; do
      { read -r line <"$stat"; } 2>/dev/null || continue
      pid=${line%% *}
      set -- ${line##*) }
      case $all in
        *" $pid "*) ;;
        *" $2 "*) all="$all$pid " again=1 ;;
        *) [ "$4" != "$leader" ] || { all="$all$pid " again=1; } ;;
      esac
    done
  done
}
stop() {
  : >"$d/stopping"
  family
  kill -TERM $all
  tries=100
  while [ "$tries" -gt 0 ] && kill -0 $leader; do
    tries=$((tries - 1))
    sleep 0.1 || sleep 1
  done
  first=$all
  family
  kill -KILL $first $all
}
{
  trap '' HUP
  while read -r _ <&3; do :; done
  stop
} >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$leader"
code=$?
if [ -e "$d/stopping" ]; then wait "$watcher"; else kill "$watcher" 2>/dev/null; fi
rm -rf "$d"
exit "$code"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_one_word() {
        assert_eq!(quote("a'b $c"), "'a'\\''b $c'");
    }
}
