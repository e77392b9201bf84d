//! What fingerprints depend on: values and files, and nothing of how a program is written down.

use std::collections::BTreeMap;

use imgc_compiler::ModuleId;
use imgc_plan::{Digest, Fingerprint, Plan, State, Work};
use proptest::prelude::*;

use crate::world::MapWorld;

/// Every node's fingerprint, by address. The state of a parent is made of the parent's own fingerprint, as where every
/// step leaves other bytes.
fn fingerprints(plan: &Plan) -> BTreeMap<String, Fingerprint> {
    let mut states: Vec<State> = Vec::new();
    let mut found = BTreeMap::new();
    for id in plan.ids() {
        let parents: Vec<State> = plan.inputs(id).iter().map(|parent| states[parent.index()]).collect();
        let mut fingerprint = imgc_plan::fingerprint(plan, id, &parents);
        if let Work::Source(source) = &plan.node(id).work {
            // Nothing is locked here; what it would be locked under stands for it.
            fingerprint = Fingerprint(Digest::of(&[fingerprint.0, source.key.0.0].concat()).0);
        }
        states.push(State::Made(fingerprint));
        found.insert(plan.node(id).address.to_string(), fingerprint);
    }
    found
}

fn plan_of(world: &MapWorld) -> Plan {
    let planned = imgc_compiler::plan(world, "main.imgc");
    let said = crate::render::diagnostics(&planned.diagnostics, &planned.sources);
    planned.plan.unwrap_or_else(|| panic!("{said}"))
}

fn world_of(program: &str) -> MapWorld {
    let mut world = MapWorld::of(program);
    world.files.insert("site/index.html".to_owned(), b"Hello".to_vec());
    world.files.insert("site/style.css".to_owned(), b"p {}".to_vec());
    world.files.insert("one.txt".to_owned(), b"1".to_vec());
    world
}

/// Items of a program with everything in it; `{greeting}` and `{word}` are names of locals.
const ITEMS: [&str; 8] = [
    "param size: Size = 4GiB where size in 2GiB..=8GiB",
    "let {greeting} = \"hello\"",
    "fn shout({word}: String) -> String = \"\\{{word}.upper()}!\"",
    "recipe greet(who: String) on linux/* {\n  let {word} = shout(who)\n  sh \"greet\" { script = \"echo \\{{word}} \\{{greeting}}\" }\n}",
    "image base {\n  from = rootfs.scratch()\n  use greet(\"base\")\n  copy \"site\" { src = dir(\"./site\"), dest = \"/srv\" }\n}",
    "image web {\n  from = base\n  for {word} in [\"a\", \"b\"] { write \"w\" { dest = \"/\\{{word}}\", text = {word} } }\n  copy \"one\" { src = file(\"one.txt\"), dest = \"/one\", mode = 0o600 }\n}",
    "output container = oci.archive(web, cmd: [\"/bin/sh\"])",
    "output vm = disk.image(base, size: size)",
];

fn program(order: &[usize], greeting: &str, word: &str) -> String {
    let items = order.iter().map(|n| ITEMS[*n].replace("{greeting}", greeting).replace("{word}", word));
    items.collect::<Vec<_>>().join("\n\n")
}

/// Items of a program of three modules, one of which is there with several arguments.
const MAIN: [&str; 7] = [
    "import \"./parts/tools.imgc\" as tools",
    "import \"./parts/base.imgc\"(size: 3GiB) as large",
    "import \"./parts/base.imgc\" as plain",
    "import { system } from \"./parts/base.imgc\"",
    "image web {\n  from = large.system\n  use tools.note(\"web\")\n}",
    "image twin {\n  from = system\n  use tools.note(plain.word)\n}",
    "output all = [oci.archive(web, file: \"web.tar\"), oci.archive(twin, file: \"twin.tar\")]",
];
const TOOLS: [&str; 3] = [
    "import { word } from \"./base.imgc\"",
    "pub recipe note(text: String) on linux/* {\n  write \"note\" { dest = \"/note\", text = shown(text) }\n}",
    "fn shown(text: String) -> String = \"\\{word}: \\{text}\"",
];
const PART: [&str; 4] = [
    "param size: Size = 1GiB",
    "pub let word = \"base \\{size}\"",
    "pub image system {\n  from = rootfs.scratch()\n  write \"size\" { dest = \"/size\", text = word }\n  sh \"secret\" { script = \"true\", env = { T = token } }\n}",
    "secret token: String from env(\"TOKEN\")",
];

fn modules(orders: [&[usize]; 3]) -> MapWorld {
    let text = |items: &[&str], order: &[usize]| order.iter().map(|n| items[*n]).collect::<Vec<_>>().join("\n\n");
    let mut world = MapWorld::of(&text(&MAIN, orders[0]));
    world.files.insert("parts/tools.imgc".to_owned(), text(&TOOLS, orders[1]).into_bytes());
    world.files.insert("parts/base.imgc".to_owned(), text(&PART, orders[2]).into_bytes());
    world
}

fn shuffled(count: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..count).collect::<Vec<_>>()).prop_shuffle()
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]{3,8}x".prop_map(|name| name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_and_names_of_locals_do_not_count(
        order in Just((0..ITEMS.len()).collect::<Vec<_>>()).prop_shuffle(),
        greeting in name(),
        word in name(),
    ) {
        prop_assume!(greeting != word);
        let plain = plan_of(&world_of(&program(&[0, 1, 2, 3, 4, 5, 6, 7], "greeting", "word")));
        let other = plan_of(&world_of(&program(&order, &greeting, &word)));
        prop_assert_eq!(fingerprints(&plain), fingerprints(&other));
        // Nor does it count for the order of nodes.
        let addresses = |plan: &Plan| plan.nodes.iter().map(|node| node.address.clone()).collect::<Vec<_>>();
        prop_assert_eq!(addresses(&plain), addresses(&other));
    }

    #[test]
    fn order_of_modules_and_their_items_does_not_count(main in shuffled(7), tools in shuffled(3), part in shuffled(4)) {
        let plain = plan_of(&modules([&[0, 1, 2, 3, 4, 5, 6], &[0, 1, 2], &[0, 1, 2, 3]]));
        let other = plan_of(&modules([&main, &tools, &part]));
        prop_assert_eq!(fingerprints(&plain), fingerprints(&other));
        let addresses = |plan: &Plan| plan.nodes.iter().map(|node| node.address.clone()).collect::<Vec<_>>();
        prop_assert_eq!(addresses(&plain), addresses(&other));
    }

    #[test]
    fn layout_and_comments_do_not_count(breaks in prop::collection::vec(0_usize..4, 24), comment in "[ a-z]{0,20}") {
        let plain = program(&[0, 1, 2, 3, 4, 5, 6, 7], "greeting", "word");
        let mut breaks = breaks.into_iter().cycle();
        let mut loose = String::new();
        for line in plain.lines() {
            match breaks.next() {
                Some(0) => loose.push_str(&format!("{line} // {comment}\n")),
                Some(1) => loose.push_str(&format!("\n   {}\n", line.trim())),
                Some(2) => loose.push_str(&format!("// {comment}\n{line}\n\n")),
                _ => loose.push_str(&format!("{line}\n")),
            }
        }
        let (plain, loose) = (world_of(&plain), world_of(&loose));
        prop_assert_eq!(fingerprints(&plan_of(&plain)), fingerprints(&plan_of(&loose)));
    }

    #[test]
    fn a_file_counts_where_it_is_used(content in "[a-z]{2,9}", which in 0_usize..3) {
        let world = world_of(&program(&[0, 1, 2, 3, 4, 5, 6, 7], "greeting", "word"));
        let before = fingerprints(&plan_of(&world));
        let (file, begins) = [
            ("site/index.html", "base/copy \"site\""),
            ("site/new.html", "base/copy \"site\""),
            ("one.txt", "web/copy \"one\""),
        ][which];
        let mut changed = world;
        changed.files.insert(file.to_owned(), content.into_bytes());
        let after = fingerprints(&plan_of(&changed));
        let differ: Vec<&String> = before.iter().filter(|(at, f)| after[*at] != **f).map(|(at, _)| at).collect();
        let expected: Vec<&str> = match begins {
            "web/copy \"one\"" => vec!["container", "web/copy \"one\""],
            _ => vec!["base/copy \"site\"", "container", "vm", "web/copy \"one\"", "web/write \"w\"[a]", "web/write \"w\"[b]"],
        };
        prop_assert_eq!(differ, expected);
    }
}

#[test]
fn formatting_does_not_count() {
    let plain = program(&[0, 1, 2, 3, 4, 5, 6, 7], "greeting", "word");
    let formatted = imgc_compiler::format::format(&imgc_compiler::parse::parse(&plain, ModuleId(0)));
    assert_ne!(plain, formatted);
    assert_eq!(fingerprints(&plan_of(&world_of(&plain))), fingerprints(&plan_of(&world_of(&formatted))));
}

/// A step with every argument, and for each argument another value: each change alters its node and what follows.
#[test]
fn each_argument_counts() {
    let step = |name: &str, value: &str| {
        let mut fields: BTreeMap<&str, &str> = BTreeMap::from([
            ("script", "\"true\""),
            ("env", "{ A = \"1\" }"),
            ("user", "\"root\""),
            ("workdir", "\"/\""),
            ("timeout", "30m"),
            ("retries", "0"),
            ("exit_codes", "[0]"),
            ("disconnect", "\"error\""),
            ("network", "true"),
            ("cache", "auto"),
        ]);
        if !name.is_empty() {
            fields.insert(name, value);
        }
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let program = format!(
            "image a {{ from = rootfs.scratch()\n sh \"before\" {{ script = \"true\" }}\n sh \"x\" {{ {} }}\n \
             sh \"after\" {{ script = \"true\" }} }}\noutput out = oci.archive(a)\n",
            fields.join(", ")
        );
        fingerprints(&plan_of(&MapWorld::of(&program)))
    };
    let before = step("", "");
    let changes = [
        ("script", "\"false\""),
        ("env", "{ A = \"2\" }"),
        ("env", "{ B = \"1\" }"),
        ("user", "\"bob\""),
        ("workdir", "\"/srv\""),
        ("timeout", "31m"),
        ("retries", "1"),
        ("exit_codes", "[0, 1]"),
        ("disconnect", "\"expected\""),
        ("network", "false"),
        ("cache", "key(\"k\")"),
    ];
    for (name, value) in changes {
        let after = step(name, value);
        let differ: Vec<&str> = before.iter().filter(|(at, f)| after[*at] != **f).map(|(at, _)| at.as_str()).collect();
        assert_eq!(differ, ["a/sh \"after\"", "a/sh \"x\"", "out"], "{name} = {value}");
    }
}

/// The names of labels, of images and of files of outputs are no content.
#[test]
fn names_do_not_count() {
    let one = "image a { from = rootfs.scratch()\n sh \"x\" { script = \"true\" } }\noutput out = oci.archive(a)\n";
    let two = "image b { from = rootfs.scratch()\n sh \"y\" { script = \"true\" } }\noutput into = oci.archive(b, file: \"z\")\n";
    let values = |program| fingerprints(&plan_of(&MapWorld::of(program))).into_values().map(|f| f.to_string());
    let (mut one, mut two): (Vec<_>, Vec<_>) = (values(one).collect(), values(two).collect());
    one.sort();
    two.sort();
    assert_eq!(one, two);
}

/// Every argument of the other kinds, too, alters its node, and of images what follows from them.
#[test]
fn arguments_of_other_kinds_count() {
    const PROGRAM: &str = r#"
image a {
  from = rootfs.debian(suite: "bookworm", packages: ["curl"], platform: linux(debian)/amd64)
  write "w" { dest = "/w", text = "1", mode = 0o644, owner = "root:root" }
  copy "c" { src = file("one.txt"), dest = "/c", mode = 0o640, owner = "0:0" }
}
output archive = oci.archive(a, entrypoint: ["/e"], cmd: ["c"], env: { A = "1" }, labels: { "l" => "1" }, ports: [80], user: "u", workdir: "/v", tag: "t:1")
output vm = disk.image(a, size: 4GiB, format: raw)
"#;
    const ALL: [&str; 5] = ["a/copy \"c\"", "a/from", "a/write \"w\"", "archive", "vm"];
    const FROM_WRITE: [&str; 4] = ["a/copy \"c\"", "a/write \"w\"", "archive", "vm"];
    const FROM_COPY: [&str; 3] = ["a/copy \"c\"", "archive", "vm"];
    let changes: [(&str, &str, &[&str]); 18] = [
        ("bookworm", "trixie", &ALL),
        ("\"curl\"", "\"wget\"", &ALL),
        ("/amd64", "/arm64", &ALL),
        ("\"/w\"", "\"/w2\"", &FROM_WRITE),
        ("text = \"1\"", "text = \"2\"", &FROM_WRITE),
        ("0o644", "0o600", &FROM_WRITE),
        ("root:root", "root:adm", &FROM_WRITE),
        ("\"/c\"", "\"/c2\"", &FROM_COPY),
        ("0o640", "0o600", &FROM_COPY),
        ("0:0", "0:1", &FROM_COPY),
        ("\"/e\"", "\"/f\"", &["archive"]),
        ("cmd: [\"c\"]", "cmd: [\"d\"]", &["archive"]),
        ("A = \"1\"", "A = \"2\"", &["archive"]),
        ("\"l\" => \"1\"", "\"l\" => \"2\"", &["archive"]),
        ("80", "81", &["archive"]),
        ("\"t:1\"", "\"t:2\"", &["archive"]),
        ("4GiB", "5GiB", &["vm"]),
        ("format: raw", "format: qcow2", &["vm"]),
    ];
    let before = fingerprints(&plan_of(&world_of(PROGRAM)));
    for (from, to, expected) in changes {
        let changed = PROGRAM.replacen(from, to, 1);
        assert_ne!(changed, PROGRAM, "{from}");
        let after = fingerprints(&plan_of(&world_of(&changed)));
        let differ: Vec<&str> = before.iter().filter(|(at, f)| after[*at] != **f).map(|(at, _)| at.as_str()).collect();
        assert_eq!(differ, expected, "{from} to {to}");
    }
}
