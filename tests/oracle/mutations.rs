//! The mutations: what each does, which nodes it touches, and what the first of them has to say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::package::{Entry, Package, base_tar};

/// One change to the package.
pub(crate) struct Mutation {
    pub(crate) name: String,
    pub(crate) change: Box<dyn Fn(&mut Package) + Sync>,
    /// The nodes of which something is changed.
    pub(crate) touches: Vec<String>,
    /// Nodes with another address afterwards.
    pub(crate) renamed: BTreeMap<&'static str, String>,
    /// Images that stand on another image afterwards.
    pub(crate) moved: BTreeMap<&'static str, &'static str>,
    /// A node and fields of the cause that it has to give.
    pub(crate) cause: Option<(&'static str, Value)>,
}

const ONE: &str = "one/sh \"one\"";
const SITE: &str = "site/copy \"site\"";
const MOTD: &str = "motd/copy \"motd\"";
const CONF: &str = "conf/write \"conf\"";
const SUM: &str = "sum/sh \"sum\"";
const LAST: &str = "last/sh \"last\"";
const SIDE: &str = "side/sh \"side\"";
const SHELLS: [(&str, &str); 4] = [
    (ONE, "echo \"$A\" > /one"),
    (SUM, "cat /etc/conf /site/p* > /sum"),
    (LAST, "echo last > /last"),
    (SIDE, "cat /one > /side"),
];

pub(crate) struct List(pub(crate) Vec<Mutation>);

impl List {
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        at: &'static str,
        cause: Value,
        change: impl Fn(&mut Package) + Sync + 'static,
    ) -> &mut Mutation {
        self.0.push(Mutation {
            name: name.into(),
            change: Box::new(change),
            touches: vec![at.to_owned()],
            renamed: BTreeMap::new(),
            moved: BTreeMap::new(),
            cause: Some((at, cause)),
        });
        self.0.last_mut().expect("it was just added")
    }

    fn edit(&mut self, name: impl Into<String>, at: &'static str, cause: Value, from: &str, to: &str) -> &mut Mutation {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.add(name, at, cause, move |package| package.edit(&from, &to))
    }

    /// A change after which nothing runs.
    fn nothing(&mut self, name: &str, from: &str, to: &str) -> &mut Mutation {
        let mutation = self.edit(name, ONE, json!({}), from, to);
        (mutation.touches, mutation.cause) = (Vec::new(), None);
        mutation
    }
}

/// All of them.
pub(crate) fn mutations() -> Vec<Mutation> {
    let mut list = List(Vec::new());
    files(&mut list);
    trees(&mut list);
    scripts(&mut list);
    arguments(&mut list);
    environment(&mut list);
    policies(&mut list);
    parents(&mut list);
    others(&mut list);
    list.0
}

fn file(path: &str, lines: usize) -> Value {
    json!({ "cause": "file", "path": path, "change": { "change": "content", "lines": lines } })
}

fn files(list: &mut List) {
    for k in 0..10 {
        let text = format!("hello\nworld {k}\n");
        list.add(format!("motd: one line, {k}"), MOTD, file("motd", 1), move |p| p.put("motd", text.as_bytes(), 0o644));
    }
    for k in 2..12 {
        let text = (0..k).map(|n| format!("new {k}.{n}\n")).collect::<Vec<_>>().concat();
        list.add(format!("motd: {k} lines"), MOTD, file("motd", k), move |p| p.put("motd", text.as_bytes(), 0o644));
    }
    let mode =
        json!({ "cause": "file", "path": "motd", "change": { "change": "mode", "before": "644", "after": "755" } });
    list.add("motd: mode", MOTD, mode, |p| p.put("motd", b"hello\nworld\n", 0o755));
    list.add("motd: empty", MOTD, json!({ "cause": "file", "path": "motd" }), |p| p.put("motd", b"", 0o644));
    list.add("motd: binary", MOTD, json!({ "cause": "file", "path": "motd" }), |p| p.put("motd", b"\0\xff", 0o644));
    for k in 0..3 {
        let cause = json!({ "cause": "argument", "argument": "src" });
        let mutation = list.add(format!("motd: another file with other text, {k}"), MOTD, cause, move |p| {
            p.put("other", format!("other {k}\n").as_bytes(), 0o644);
            p.edit("file(\"./motd\")", "file(\"./other\")");
        });
        mutation.cause = Some((MOTD, json!({ "cause": "file", "path": "other" })));
    }
    let same = list.nothing("motd: another file with the same text", "file(\"./motd\")", "file(\"./other\")");
    same.change = Box::new(|p| {
        p.put("other", b"hello\nworld\n", 0o644);
        p.edit("file(\"./motd\")", "file(\"./other\")");
    });
    for k in 0..4 {
        let cause = json!({ "cause": "file", "path": "base.tar" });
        list.add(format!("base: another archive, {k}"), "base/from", cause, move |p| {
            let scratch = tempfile::tempdir().expect("folder");
            p.put("base.tar", &base_tar(scratch.path(), &format!("base {k}")), 0o644);
        });
    }
}

fn tree(path: &str, change: &Value) -> Value {
    let mut entry = json!({ "path": format!("site/{path}") });
    let fields = change.as_object().expect("an object").clone();
    entry.as_object_mut().expect("an object").extend(fields);
    json!({ "cause": "tree", "argument": "src", "changes": [entry], "more": 0 })
}

fn trees(list: &mut List) {
    for k in 0..10 {
        let path = format!("p{k}");
        let at = format!("site/{path}");
        let cause = tree(&path, &json!({ "change": "content", "lines": 1 }));
        let file = at.clone();
        list.add(format!("site: {path} changed"), SITE, cause, move |p| {
            p.put(&file, format!("page {k}!\nline\n").as_bytes(), 0o644);
        });
        let (file, cause) = (at.clone(), tree(&path, &json!({ "change": "content", "lines": 2 })));
        list.add(format!("site: {path} changed twice"), SITE, cause, move |p| {
            p.put(&file, format!("page {k}?\nother\n").as_bytes(), 0o644);
        });
        let (file, cause) = (at.clone(), tree(&path, &json!({ "change": "removed" })));
        list.add(format!("site: {path} removed"), SITE, cause, move |p| drop(p.0.remove(&file)));
        let (file, cause) = (at, tree(&path, &json!({ "change": "mode", "before": "644", "after": "755" })));
        list.add(format!("site: {path} executable"), SITE, cause, move |p| {
            p.put(&file, format!("page {k}\nline\n").as_bytes(), 0o755);
        });
        let cause = tree(&format!("new{k}"), &json!({ "change": "added" }));
        list.add(format!("site: new{k} added"), SITE, cause, move |p| {
            p.put(&format!("site/new{k}"), format!("new {k}\n").as_bytes(), 0o644);
        });
    }
    for k in 1..4 {
        let cause = tree("link", &json!({ "change": "target", "after": format!("p{k}") }));
        list.add(format!("site: link to p{k}"), SITE, cause, move |p| {
            p.0.insert("site/link".to_owned(), Entry::Link(format!("p{k}")));
        });
    }
    list.add("site: link is a file now", SITE, tree("link", &json!({ "change": "kind", "after": "file" })), |p| {
        p.put("site/link", b"no link\n", 0o644);
    });
    list.add("site: p3 is a link now", SITE, tree("p3", &json!({ "change": "kind", "after": "symlink" })), |p| {
        p.0.insert("site/p3".to_owned(), Entry::Link("p4".to_owned()));
    });
    list.add("site: all but one removed", SITE, json!({ "cause": "tree", "argument": "src" }), |p| {
        p.0.retain(|path, _| !path.starts_with("site/") || path == "site/p0");
    });
}

fn scripts(list: &mut List) {
    let script = json!({ "cause": "argument", "argument": "script" });
    for (at, command) in SHELLS {
        for k in 0..6 {
            // A command that leaves a file, one that leaves nothing, and a comment.
            let extra = match k % 3 {
                0 => format!("{command}; echo {k} > /extra"),
                1 => format!("{command}; : {k}"),
                _ => format!(": {k}; {command}"),
            };
            list.edit(format!("{at}: script {k}"), at, script.clone(), command, &extra);
        }
    }
    let line =
        json!({ "cause": "argument", "argument": "script", "change": { "change": "script", "line": 1, "lines": 1 } });
    for k in 0..4 {
        list.edit(format!("one: comment {k}"), ONE, line.clone(), "# one", &format!("# one {k}"));
    }
}

fn value(argument: &str, before: &str, after: &str) -> Value {
    let change = json!({ "change": "value", "before": before, "after": after });
    json!({ "cause": "argument", "argument": argument, "change": change })
}

fn arguments(list: &mut List) {
    for k in 0..8 {
        let (text, after) = (format!("text = \"b{k}\\n\""), format!("b{k}\n"));
        list.edit(format!("conf: text {k}"), CONF, value("text", "a\n", &after), "text = \"a\\n\"", &text);
    }
    for mode in ["0o600", "0o640", "0o755", "0o444"] {
        let cause = value("mode", "0o644", mode);
        list.edit(format!("conf: mode {mode}"), CONF, cause, "mode = 0o644", &format!("mode = {mode}"));
    }
    let owner = json!({ "cause": "argument", "argument": "owner" });
    let with_owner = "mode = 0o644, owner = \"user:user\"";
    list.edit("conf: owner", CONF, owner.clone(), "mode = 0o644", with_owner);
    let with_owner = "dest = \"/etc/motd\", owner = \"user\"";
    list.edit("motd: owner", MOTD, owner, "dest = \"/etc/motd\"", with_owner);
    for k in 0..5 {
        let dest = format!("/etc/motd{k}");
        let to = format!("dest = \"{dest}\"");
        list.edit(format!("motd: dest {k}"), MOTD, value("dest", "/etc/motd", &dest), "dest = \"/etc/motd\"", &to);
        let dest = format!("/site{k}");
        let mutation = list.edit(
            format!("site: dest {k}"),
            SITE,
            value("dest", "/site", &dest),
            "dest = \"/site\"",
            &format!("dest = \"{dest}\""),
        );
        // What reads it must still find it; reading it is another script.
        let change = format!("/site{k}/p*");
        mutation.change = Box::new(move |p| {
            p.edit("dest = \"/site\"", &format!("dest = \"{dest}\""));
            p.edit("/site/p*", &change);
        });
        mutation.touches.push(SUM.to_owned());
    }
    let mode = json!({ "cause": "argument", "argument": "mode" });
    list.edit("motd: mode argument", MOTD, mode, "dest = \"/etc/motd\"", "dest = \"/etc/motd\", mode = 0o600");
    for (at, command) in SHELLS {
        // In triple quotes the field stands on a line of its own; all others end with a quote.
        if at == ONE {
            continue;
        }
        let script = format!("script = \"{command}\"");
        for (field, extra) in [
            ("timeout", "timeout = 10m"),
            ("retries", "retries = 2"),
            ("workdir", "workdir = \"/tmp\""),
            ("exit_codes", "exit_codes = [0, 3]"),
        ] {
            let cause = json!({ "cause": "argument", "argument": field });
            list.edit(format!("{at}: {field}"), at, cause, &script, &format!("{script}, {extra}"));
        }
    }
}

fn environment(list: &mut List) {
    for k in 2..10 {
        let cause = value("env.A", "1", &k.to_string());
        list.edit(format!("one: A is {k}"), ONE, cause, "\"A\" => \"1\"", &format!("\"A\" => \"{k}\""));
    }
    for k in 0..5 {
        let cause = json!({ "cause": "argument", "argument": "env" });
        let to = format!("\"A\" => \"1\", \"B{k}\" => \"x\"");
        list.edit(format!("one: B{k} is given"), ONE, cause, "\"A\" => \"1\"", &to);
    }
    for k in 2..7 {
        let cause = json!({ "cause": "secret", "secret": "token", "before": "v1", "after": format!("v{k}") });
        list.edit(format!("sum: version v{k}"), SUM, cause, "version \"v1\"", &format!("version \"v{k}\""));
    }
}

fn policies(list: &mut List) {
    for (at, command) in SHELLS.into_iter().filter(|(at, _)| *at != ONE) {
        let script = format!("script = \"{command}\"");
        let with = |policy: &str| format!("{script}, cache = {policy}");
        list.edit(format!("{at}: never"), at, json!({ "cause": "never" }), &script, &with("never"));
        list.edit(format!("{at}: expired"), at, json!({ "cause": "expired" }), &script, &with("ttl(d: 0s)"));
        list.nothing(&format!("{at}: a long time"), &script, &with("ttl(d: 30d)"));
        list.nothing(&format!("{at}: auto"), &script, &with("auto"));
        for k in 0..3 {
            let cause = json!({ "cause": "argument", "argument": "cache" });
            list.edit(format!("{at}: key {k}"), at, cause, &script, &with(&format!("key(k: \"{k}\")")));
        }
    }
}

fn parents(list: &mut List) {
    let moved = |from: &str, to: &str| json!({ "cause": "moved", "from": from, "to": to });
    for (image, at, was, is) in [
        ("side", SIDE, (SITE, "site"), (ONE, "one")),
        ("side", SIDE, (SITE, "site"), (MOTD, "motd")),
        ("side", SIDE, (SITE, "site"), (CONF, "conf")),
        ("last", LAST, (SUM, "sum"), (CONF, "conf")),
        ("last", LAST, (SUM, "sum"), (SITE, "site")),
        ("last", LAST, (SUM, "sum"), (ONE, "one")),
        ("conf", CONF, (MOTD, "motd"), (SITE, "site")),
    ] {
        let (from, to) =
            (format!("image {image} {{\n  from = {}", was.1), format!("image {image} {{\n  from = {}", is.1));
        let mutation = list.edit(format!("{image} stands on {}", is.1), at, moved(was.0, is.0), &from, &to);
        mutation.moved.insert(image, is.1);
    }
}

fn others(list: &mut List) {
    list.nothing("a comment in the program", "image one {", "// a comment\nimage one {");
    list.nothing("another layout of the program", "  copy \"motd\" {", "  copy   \"motd\"   {");
    list.nothing("an output less", "output x_side = oci.archive(side)\n", "");
    list.nothing("a let", "image one {", "let unused_here = 1\nimage one {");
    for (at, kind, label) in [(ONE, "sh", "one"), (MOTD, "copy", "motd"), (LAST, "sh", "last")] {
        let (from, to) = (format!("{kind} \"{label}\""), format!("{kind} \"{label} again\""));
        let mutation = list.nothing(&format!("{label}: another label"), &from, &to);
        mutation.renamed.insert(at, at.replace(&format!("\"{label}\""), &format!("\"{label} again\"")));
    }
    for (k, epoch) in [1_000_000_000_i64, 1_200_000_000, 1_300_000_000].into_iter().enumerate() {
        let cause = json!({ "cause": "lock" });
        let mutation = list.add(format!("the package's epoch, {k}"), "base/from", cause, move |p| {
            p.put("imgc.toml", format!("[settings]\nepoch = {epoch}\n").as_bytes(), 0o644);
        });
        mutation.touches.extend([ONE, SITE, MOTD, CONF, SUM, LAST, SIDE].map(str::to_owned));
        mutation.touches.extend(crate::package::STEPS.iter().map(|step| step.output.to_owned()));
    }
    for platform in ["linux(debian)/amd64", "linux(alpine)/amd64"] {
        let cause = json!({ "cause": "property", "property": "platform", "after": platform });
        let to = format!("base.tar\"), platform: {platform})");
        let mutation = list.edit(format!("platform {platform}"), "base/from", cause, "base.tar\"))", &to);
        mutation.touches.extend([ONE, SITE, MOTD, CONF, SUM, LAST, SIDE].map(str::to_owned));
        mutation.touches.extend(crate::package::STEPS.iter().map(|step| step.output.to_owned()));
    }
    let network = json!({ "cause": "argument", "argument": "network" });
    let script = "script = \"cat /one > /side\", network = ";
    list.edit("side: network", SIDE, network, &format!("{script}false"), &format!("{script}true"));
}
