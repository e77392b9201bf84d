//! Secrets: seen by the step that asks for them and found nowhere else.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::bed::{Bed, Who, run};
use crate::failures::text;

const BASE: &str = "image base {\n  from = rootfs.scratch()\n  copy \"busybox\" { src = file(\"busybox\"), dest = \"/bin/busybox\" }\n  copy \"shell\" { src = file(\"busybox\"), dest = \"/bin/sh\" }\n  sh \"links\" { script = \"/bin/busybox --install -s /bin || true\" }\n}\n";

/// Every legal place: a variable, a file, a text with secrets, a record through a recipe, `for`, a function, an imported
/// module, `version`, and a secret of each source.
const PROGRAM: &str = r#"
import "./part.imgc"(token: from_env) as part
secret from_env: String from env("CANARY_ENV")
secret from_file: String from file("canary.txt") version "7"
secret from_command: String from command(["cat", "lines.txt"])
record Login { user: String = "me", password: Secret<String> }
fn bearer(token: Secret<String>) -> Secret<String> = "Bearer \{token}"
recipe login(with: Login) on linux/* {
  sh "login" { script = "echo SEEN recipe $(printf %s \"$PASSWORD\" | sha256sum)", env = { PASSWORD = with.password } }
}
image web {
  from = base
  sh "plain" {
    script = """
      echo SEEN env $(printf %s "$E" | sha256sum)
      echo SEEN file $(printf %s "$F" | sha256sum)
      echo SEEN command $(printf %s "$C" | sha256sum)
      echo SEEN text $(printf %s "$T" | sha256sum)
      """
    env = { E = from_env, F = from_file, C = from_command, T = "u:\{from_env}@\{from_file}" }
  }
  sh "function" { script = "echo SEEN function $(printf %s \"$H\" | sha256sum)", env = { H = bearer(from_file) } }
  sh "files" {
    script = """
      echo SEEN lent $(sha256sum </run/secrets/token) $(stat -c %a:%u /run/secrets/token)
      echo SEEN filled $(sha256sum </run/auth.conf)
      """
    secret_files = { "/run/secrets/token" => from_env, "/run/auth.conf" => "login \{from_file}" }
  }
  sh "user" {
    script = "echo SEEN theirs $(sha256sum </run/secrets/token) $(stat -c %a:%u /run/secrets/token)"
    user = "4321"
    secret_files = { "/run/secrets/token" => from_command }
  }
  sh "gone" { script = "test ! -e /run/secrets && test ! -e /run/auth.conf && echo SEEN nothing" }
  use login({ password = from_env })
  for who in ["a", "b"] {
    sh "each" { script = "echo SEEN \{who} $(printf %s \"$P\" | sha256sum)", env = { P = "\{who}\{from_env}" } }
  }
  sh "talks" {
    script = """
      echo "log $E"; printf %s "$E" | base64; printf %s "x$E" | base64 -w 0; echo
      printf %s "$E" | od -An -tx1 | tr -d ' \n'; echo
      for c in $(printf %s "$E" | sed 's/./& /g'); do printf %s "$c"; done; echo
      echo "$C" >&2; env
      """
    env = { E = from_env, C = from_command }
  }
  sh "fails" { script = "echo \"$E\"; exit $CODE", env = { E = from_env, CODE = code }, retries = 1 }
}
param code: String = "0"
output archive = oci.archive(web)
output module = oci.archive(part.small)
"#;

const PART: &str = r#"
param token: Secret<String>
pub image small {
  from = rootfs.scratch()
  copy "busybox" { src = file("busybox"), dest = "/bin/busybox" }
  copy "shell" { src = file("busybox"), dest = "/bin/sh" }
  sh "links" { script = "/bin/busybox --install -s /bin || true" }
  sh "module" { script = "echo SEEN module $(printf %s \"$T\" | sha256sum)", env = { T = token } }
}
"#;

/// Random texts with what encodings change in them.
fn canaries() -> BTreeMap<&'static str, String> {
    let random = |_| {
        let mut bytes = [0_u8; 18];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").expect("/dev/urandom"), &mut bytes)
            .expect("random");
        let digits: String = bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let (head, tail) = digits.split_at(9);
        format!("{head}/{tail}+=\u{e9}")
    };
    let lines = format!("{}\n{}", random(0), random(0));
    BTreeMap::from([("env", random(0)), ("file", random(0)), ("command", lines)])
}

/// How a value may turn up, computed here apart from imgc's own code.
fn looks(value: &str) -> Vec<(String, &'static str)> {
    let tool = |program: &str, args: &[&str], prefix: &str| {
        let mut child = Command::new(program)
            .args(args)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect(program);
        std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), format!("{prefix}{value}").as_bytes())
            .expect("write");
        String::from_utf8(child.wait_with_output().expect("output").stdout).expect("ASCII").trim().to_owned()
    };
    let hex = value.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let url: String = value
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let mut looks = vec![
        (value.to_owned(), "plain"),
        (hex.to_uppercase(), "hex"),
        (hex, "hex"),
        (url.to_lowercase(), "url"),
        (url, "url"),
    ];
    for prefix in ["", "x", "xy"] {
        let whole = tool("base64", &["-w", "0"], prefix);
        // What depends on neither what is before nor what is after.
        let (from, upto) = (if prefix.is_empty() { 0 } else { 4 }, whole.len().saturating_sub(4));
        looks.push((whole[from..upto].to_owned(), "base64"));
        looks.push((whole[from..upto].replace('+', "-").replace('/', "_"), "base64"));
    }
    for line in value.lines().filter(|_| value.contains('\n')) {
        looks.push((line.to_owned(), "plain"));
    }
    looks
}

/// Where any of the values is below these folders, in contents and names; archives are unpacked on the way.
fn search(folders: &[PathBuf], canaries: &BTreeMap<&'static str, String>) -> Vec<String> {
    let looks: Vec<(String, String)> = canaries
        .iter()
        .flat_map(|(name, value)| looks(value).into_iter().map(move |(look, form)| (look, format!("{name} in {form}"))))
        .collect();
    let mut by_start: HashMap<[u8; 4], Vec<(&[u8], &str)>> = HashMap::new();
    for (look, what) in &looks {
        let start = look.as_bytes()[..4].try_into().expect("four bytes");
        by_start.entry(start).or_default().push((look.as_bytes(), what));
    }
    let mut found = Vec::new();
    let mut open = folders.to_vec();
    while let Some(path) = open.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        let bytes = if meta.is_dir() {
            open.extend(fs::read_dir(&path).expect("folder").map(|entry| entry.expect("entry").path()));
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path).expect("link").as_os_str().as_bytes().to_vec()
        } else if meta.is_file() {
            fs::read(&path).expect("file")
        } else {
            continue;
        };
        let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        found.extend(
            held(&bytes, &by_start).chain(held(&name, &by_start)).map(|what| format!("{what} in {}", path.display())),
        );
    }
    found
}

/// What of the looks is in these bytes: one pass, since stores are large.
fn held<'l>(bytes: &'l [u8], looks: &'l HashMap<[u8; 4], Vec<(&'l [u8], &'l str)>>) -> impl Iterator<Item = &'l str> {
    let at = move |at: usize| {
        let start: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
        looks.get(&start).into_iter().flatten().filter(move |(look, _)| bytes[at..].starts_with(look))
    };
    (0..bytes.len().saturating_sub(3)).flat_map(at).map(|(_, what)| *what)
}

struct Case {
    bed: Bed,
    package: PathBuf,
    canaries: BTreeMap<&'static str, String>,
}

impl Case {
    fn new(program: &str) -> Self {
        let bed = Bed::new(Who::Root);
        let package = bed.package("p", &format!("{BASE}{program}"));
        fs::write(package.join("part.imgc"), PART).expect("module");
        Self { bed, package, canaries: canaries() }
    }

    /// Runs a command with the secrets where they come from, and keeps all it says under `said/` for the search.
    fn imgc(&self, name: &str, args: &[&str]) -> Output {
        fs::write(self.package.join("canary.txt"), format!("{}\n", self.canaries["file"])).expect("file");
        fs::write(self.package.join("lines.txt"), format!("{}\n", self.canaries["command"])).expect("file");
        let (command, rest) = args.split_first().expect("a command");
        let mut command = self.bed.imgc(&[command, self.package.to_str().expect("UTF-8")]);
        let output = run(command.args(rest).env("CANARY_ENV", &self.canaries["env"]));
        let said = self.bed.path("said");
        fs::create_dir_all(&said).expect("folder");
        fs::write(said.join(name), [output.stdout.as_slice(), output.stderr.as_slice()].concat()).expect("file");
        output
    }

    /// Where a secret is that has nothing to look for there: in the store, layers, archives, logs, index, plan, JSON.
    fn found(&self) -> Vec<String> {
        for file in ["canary.txt", "lines.txt"] {
            let _ = fs::remove_file(self.package.join(file));
        }
        let unpacked = self.bed.path("unpacked");
        fs::create_dir_all(&unpacked).expect("folder");
        for archive in ["archive.tar", "module.tar"] {
            let path = self.package.join("out").join(archive);
            if path.exists() {
                crate::bed::unpack_archive(&path, &unpacked.join(archive));
            }
        }
        search(
            &["cache", "state", "said", "tmp", "home", "unpacked", "p"].map(|sub| self.bed.path(sub)),
            &self.canaries,
        )
    }
}

fn sum(value: &str) -> String {
    imgc_plan::Sha256::of(value.as_bytes()).to_string()
}

#[test]
fn canaries_are_seen_by_steps_and_found_nowhere_else() {
    let case = Case::new(PROGRAM);
    let saved = case.bed.path("said/plan.imgcplan");
    fs::create_dir_all(saved.parent().expect("folder")).expect("folder");
    case.imgc("plan", &["plan", "-vv", "--out", saved.to_str().expect("UTF-8")]);
    case.imgc("plan.json", &["plan", "--format", "json"]);
    let failed = case.imgc("failed", &["apply", "-vv", "--set", "code=3"]);
    assert_eq!(failed.status.code(), Some(3), "{}", text(&failed));
    let output = case.imgc("apply.json", &["apply", "-vv", "--format", "json"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let said = format!("{}{said}", text(&failed));
    let (env, file, command) = (&case.canaries["env"], &case.canaries["file"], &case.canaries["command"]);
    let seen = [
        ("env", env.clone()),
        ("file", file.clone()),
        ("command", command.clone()),
        ("text", format!("u:{env}@{file}")),
        ("function", format!("Bearer {file}")),
        ("recipe", env.clone()),
        ("lent", env.clone()),
        ("filled", format!("login {file}")),
        ("theirs", command.clone()),
        ("a", format!("a{env}")),
        ("b", format!("b{env}")),
        ("module", env.clone()),
    ];
    for (place, value) in seen {
        let line = format!("SEEN {place} {}", sum(&value));
        assert!(said.contains(&line), "`{place}` did not see its secret:\n{said}");
    }
    for (place, of) in [("lent", format!("{} - 400:0", sum(env))), ("theirs", format!("{} - 400:4321", sum(command)))] {
        assert!(said.contains(&format!("SEEN {place} {of}")), "a secret file is its user's alone:\n{said}");
    }
    assert!(said.contains("SEEN nothing"), "a secret file was there for a later step:\n{said}");
    case.imgc("show", &["show"]);
    case.imgc("log", &["log"]);
    assert_eq!(case.found(), Vec::<String>::new());
}

#[test]
fn the_search_finds_a_leak_that_is_there() {
    // The control: two characters of a secret are taken away before it is written, so that imgc lets it through; then
    // the shortened secret is searched for.
    let mut case = Case::new(
        "secret from_env: String from env(\"CANARY_ENV\")\nimage web {\n  from = base\n  sh \"leak\" { script = \"printf %s \\\"${E#??}\\\" | base64 > /leak; printf %s \\\"${E#??}\\\"\", env = { E = from_env } }\n}\noutput archive = oci.archive(web)\n",
    );
    let output = case.imgc("apply", &["apply"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let short = case.canaries["env"].chars().skip(2).collect();
    case.canaries.insert("env", short);
    let found = case.found();
    for place in ["env in base64 in", "env in plain in"] {
        assert!(found.iter().any(|found| found.starts_with(place)), "{found:?}");
    }
    let in_folder = |folder: &str| found.iter().any(|found| found.contains(&format!("/{folder}/")));
    assert!(in_folder("cache") && in_folder("state") && in_folder("said") && in_folder("unpacked"), "{found:?}");
}

#[test]
fn a_step_that_leaves_a_secret_in_its_layer_fails_and_the_layer_is_dropped() {
    let ways = [
        ("echo \"token=$E\" > /token", "the file /token holds it as it is"),
        ("printf %s \"xy$E\" | base64 -w 0 > /b", "the file /b holds it in base64"),
        ("printf %s \"$E\" | od -An -tx1 | tr -d ' \\\\n' > /h", "the file /h holds it in hexadecimal"),
        ("ln -s \"$E\" /l", "the link /l holds it as it is"),
        ("cp /run/e /kept", "the file /kept holds it as it is"),
    ];
    for (script, place) in ways {
        let case = Case::new(&format!(
            "secret from_env: String from env(\"CANARY_ENV\")\nimage web {{\n  from = base\n  sh \"leak\" {{ script = \"{}\", env = {{ E = from_env }}, secret_files = {{ \"/run/e\" => from_env }} }}\n}}\noutput archive = oci.archive(web)\n",
            script.replace('"', "\\\"")
        ));
        let output = case.imgc("apply", &["apply"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let flat = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(flat.contains("left the secret `from_env` in its layer") && flat.contains(place), "{said}");
        assert_eq!(case.found(), Vec::<String>::new(), "{script}");
    }
}

#[test]
fn a_missing_secret_is_said_before_anything_starts() {
    let sources = [
        ("env(\"CANARY_NONE\")", "the environment variable CANARY_NONE is not set"),
        ("file(\"none.txt\")", "the file none.txt is not there"),
        ("command([\"no-such-program\"])", "the command `no-such-program` cannot be found"),
    ];
    for (source, why) in sources {
        let case = Case::new(&format!(
            "secret token: String from {source}\nimage web {{\n  from = base\n  sh \"use\" {{ script = \"true\", env = {{ T = token }} }}\n}}\noutput archive = oci.archive(web)\n"
        ));
        let output = case.imgc("apply", &["apply"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        let flat = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&format!("the secret `token` is missing: {why}")), "{said}");
        assert!(!said.contains("base/sh"), "something was started:\n{said}");
    }
}

#[test]
fn only_the_version_of_a_secret_counts() {
    let program = |version: &str| {
        format!(
            "secret token: String from env(\"CANARY_ENV\"){version}\nimage web {{\n  from = base\n  sh \"use\" {{ script = \"printf %s \\\"$T\\\" | sha256sum > /sum\", env = {{ T = token }} }}\n}}\noutput archive = oci.archive(web)\n"
        )
    };
    let mut case = Case::new(&program(""));
    let ran = |case: &Case| {
        let output = case.imgc("apply", &["apply"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        said.contains("▸ web/sh \"use\"")
    };
    let rewrite = |case: &Case, version: &str| {
        fs::write(case.package.join("main.imgc"), format!("{BASE}{}", program(version))).expect("program");
    };
    assert!(ran(&case));
    case.canaries = canaries();
    assert!(!ran(&case), "a new value without a version builds nothing");
    rewrite(&case, " version \"1\"");
    assert!(ran(&case), "a version is part of the fingerprint");
    assert!(!ran(&case));
    rewrite(&case, " version \"2\"");
    assert!(ran(&case), "another version builds anew");
    let plan = Path::new(&case.package).join("out/archive.tar");
    assert!(plan.exists());
}
