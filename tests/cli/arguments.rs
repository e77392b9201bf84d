//! Arguments: read by the type of their param, and every message about one says where it was given.

use crate::bed::Bed;

const PROGRAM: &str = r#"/// How many.
param count: Int = 3 where count < 5
param size: Size = 1GiB
param names: List<String> = []
param site: Dir?
/// What it says.
param motd: String

image box {
  from = rootfs.scratch()
  write "motd" { dest = "/motd", text = "\{motd} \{count} \{size} \{names.join(",")}" }
}
output archive = oci.archive(box)
"#;

/// Arguments of a call, a variable of its environment, and what it has to say.
type Case<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>, &'a [&'a str]);

/// What a call says when it is refused, in one line.
fn refused(bed: &Bed, args: &[&str], env: Option<(&str, &str)>) -> String {
    let mut command = bed.command(args);
    if let Some((name, value)) = env {
        command.env(name, value);
    }
    let output = command.output().expect("imgc");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_wrong_value_is_underlined_where_it_was_given() {
    let bed = Bed::new(PROGRAM);
    bed.write("values.toml", "motd = \"x\"\n\ncount = 7\n");
    bed.write("values.json", "{\n  \"motd\": \"x\",\n  \"size\": \"5M\"\n}\n");
    let toml = bed.path("values.toml");
    let json = bed.path("values.json");
    let cases: [Case<'_>; 5] = [
        (&["plan", "--set", "motd=x", "--set", "count=many"], None, &["--set:1:13", "not Int", "declared as Int"]),
        (&["plan", "--vars", toml.to_str().expect("UTF-8")], None, &["values.toml:3:9", "`count` may not be 7"]),
        (&["plan", "--vars", json.to_str().expect("UTF-8")], None, &["values.json:3:11", "not Size"]),
        (&["plan", "--set", "motd=x"], Some(("IMGC_VAR_count", "9")), &["environment:1:16", "may not be 9"]),
        (&["plan", "--set", "motd=x", "--set", "site=nowhere"], None, &["--set:1:12", "does not exist"]),
    ];
    for (args, env, expected) in cases {
        let said = refused(&bed, args, env);
        for part in expected {
            assert!(said.contains(part), "`{part}` is missing of {args:?}:\n{said}");
        }
        assert!(!said.contains("main.imgc:1:1"), "{said}");
    }
}

#[test]
fn an_unknown_name_is_underlined_and_spelt() {
    let bed = Bed::new(PROGRAM);
    let said = refused(&bed, &["plan", "--set", "motd=x", "--set", "counts=1"], None);
    assert!(said.contains("--set gives `counts`, but the program has no such param"), "{said}");
    assert!(said.contains("--set:1:14") && said.contains("did you mean `count`?"), "{said}");
}

#[test]
fn the_params_are_described() {
    let bed = Bed::new(PROGRAM);
    let said = bed.must(&["plan", "--help-params"]);
    for line in [
        "count: Int = 3 where count < 5",
        "    How many.",
        "names: List<String> = []",
        "site: Dir? (optional)",
        "motd: String (required)",
    ] {
        assert!(said.contains(line), "`{line}` is missing:\n{said}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&bed.must(&["plan", "--help-params", "--format", "json"])).expect("JSON");
    let required = |n: usize| json["params"][n]["required"].as_bool();
    assert_eq!([required(0), required(3), required(4)], [Some(false), Some(false), Some(true)], "{json}");
}

#[test]
fn an_empty_variable_names_no_cache() {
    let bed = Bed::new(PROGRAM);
    let home = bed.path("home");
    let output = bed
        .command(&["plan", "--set", "motd=x"])
        .env("IMGC_CACHE", "")
        .env_remove("XDG_CACHE_HOME")
        .env("HOME", &home)
        .output()
        .expect("imgc");
    assert!(output.status.success(), "{output:?}");
    assert!(home.join(".cache/imgc").is_dir(), "{output:?}");
}
