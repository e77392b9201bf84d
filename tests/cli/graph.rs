//! `imgc graph`: the same plan in four languages.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::bed::{Bed, builds};

const PROGRAM: &str = r#"
image base {
  from = rootfs.scratch()
  write "a & <b>" { dest = "/a", text = "a" }
}
image left {
  from = base
  write "one" { dest = "/one", text = "1" }
  write "two" { dest = "/two", text = "2" }
}
image right { from = base }
output left_archive = oci.archive(left)
output right_archive = oci.archive(right)
"#;

/// A plan of `images` images on one base, each with `steps` steps.
fn wide(images: usize, steps: usize) -> String {
    let mut program = String::from("image base { from = rootfs.scratch() }\n");
    for image in 0..images {
        let _ = writeln!(program, "image i{image} {{\n  from = base");
        for step in 0..steps {
            let _ =
                writeln!(program, "  write \"step {step} of {image}\" {{ dest = \"/s{step}\", text = \"{image}\" }}");
        }
        let _ = writeln!(program, "}}\noutput o{image} = oci.archive(i{image})");
    }
    program
}

#[test]
fn the_json_names_every_node_with_its_inputs_and_state() {
    if !builds() {
        return;
    }
    let bed = Bed::new(PROGRAM);
    bed.must(&["apply"]);
    bed.write("main.imgc", PROGRAM.replace("text = \"1\"", "text = \"one\""));
    let graph: serde_json::Value = serde_json::from_str(&bed.must(&["graph", "--format", "json"])).expect("JSON");
    let nodes = graph["nodes"].as_array().expect("nodes");
    let found = |address: &str| {
        nodes.iter().find(|node| node["address"] == address).unwrap_or_else(|| panic!("{address} in {graph:#}"))
    };
    assert_eq!(nodes.len(), 6);
    assert_eq!(found("base/write \"a & <b>\"")["state"], "cached");
    let one = found("left/write \"one\"");
    assert_eq!(one["state"], "changed");
    assert_eq!(one["inputs"], serde_json::json!(["base/write \"a & <b>\""]));
    assert!(one["why"].as_str().is_some_and(|why| why.contains("text")), "{one}");
    assert_eq!(found("left/write \"two\"")["state"], "pending");
    assert_eq!(found("right_archive")["state"], "cached");
}

#[test]
fn the_svg_is_whole_and_says_what_the_plan_says() {
    if !builds() {
        return;
    }
    let bed = Bed::new(PROGRAM);
    bed.must(&["graph", "-o", "plan.svg"]);
    let svg = std::fs::read_to_string(bed.path("plan.svg")).expect("plan.svg");
    let document = roxmltree::Document::parse(&svg).expect("well-formed");
    let texts: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|n| n.text()).collect();
    for expected in [
        "base",
        "left",
        "+ → right_archive.tar (oci.archive)",
        "+ write \"a & <b>\"",
        "+ → left_archive.tar (oci.archive)",
        "+ 6 new",
    ] {
        assert!(texts.contains(&expected), "{expected} in {texts:?}");
    }
    let arrows = document.descendants().filter(|node| node.attribute("marker-end").is_some()).count();
    assert_eq!(arrows, 1, "from `base` to `left`; `right` adds nothing to `base`");
}

/// Frames of cards never overlap, and nothing stands outside the picture.
#[test]
fn two_hundred_nodes_do_not_overlap() {
    let bed = Bed::new(&wide(20, 9));
    let svg = bed.must(&["graph", "--no-state"]);
    let document = roxmltree::Document::parse(&svg).expect("well-formed");
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok()).expect("number");
    let root = document.root_element();
    let (width, height) = (number(root.attribute("width")), number(root.attribute("height")));
    assert!(width < 3.0 * height && height < 3.0 * width, "{width} by {height}");
    let cards: Vec<(f64, f64, f64, f64)> = root
        .children()
        .filter_map(|group| {
            let at = group.attribute("transform")?.strip_prefix("translate(")?.strip_suffix(')')?;
            let (x, y) = at.split_once(' ')?;
            let frame = group.children().find(|child| child.has_tag_name("rect"))?;
            Some((
                number(Some(x)),
                number(Some(y)),
                number(frame.attribute("width")),
                number(frame.attribute("height")),
            ))
        })
        .collect();
    assert_eq!(cards.len(), 21);
    for (index, a) in cards.iter().enumerate() {
        assert!(a.0 >= 0.0 && a.1 >= 0.0 && a.0 + a.2 <= width && a.1 + a.3 <= height, "{a:?}");
        for b in &cards[index + 1..] {
            let apart = a.0 + a.2 <= b.0 || b.0 + b.2 <= a.0 || a.1 + a.3 <= b.1 || b.1 + b.3 <= a.1;
            assert!(apart, "{a:?} and {b:?}");
        }
    }
    assert_eq!(svg, bed.must(&["graph", "--no-state"]), "the same plan gives the same bytes");
    assert!(!bed.path("imgc.lock").exists(), "nothing was asked for");
}

/// Graphviz reads the DOT and finds as many nodes and edges as the plan has.
#[test]
fn graphviz_reads_the_dot() {
    let bed = Bed::new(PROGRAM);
    let dot = bed.must(&["graph", "--no-state", "--format", "dot"]);
    let started = Command::new("dot").args(["-Tplain"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut graphviz) = started else {
        assert!(std::env::var_os("CI").is_none(), "CI must have graphviz");
        eprintln!("SKIPPED: no graphviz here");
        return;
    };
    graphviz.stdin.take().expect("stdin").write_all(dot.as_bytes()).expect("written");
    let said = graphviz.wait_with_output().expect("dot");
    assert!(said.status.success(), "{dot}");
    let plain = String::from_utf8_lossy(&said.stdout).into_owned();
    let count = |word: &str| plain.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("node "), count("edge ")), (6, 5), "{plain}");
}

#[test]
fn mermaid_has_a_line_for_each_node_and_edge() {
    let bed = Bed::new(PROGRAM);
    let text = bed.must(&["graph", "--no-state", "--format", "mermaid"]);
    assert!(text.starts_with("flowchart LR\n"), "{text}");
    assert_eq!(text.matches(":::unknown").count(), 6, "{text}");
    assert_eq!(text.matches(" --> ").count(), 5, "{text}");
    assert!(text.contains("write #34;a #38; #60;b#62;#34;"), "{text}");
}

#[test]
fn an_unknown_target_is_named() {
    let bed = Bed::new(PROGRAM);
    bed.imgc(&["graph", "--no-state", "lefft"]).fails(1, &["lefft"]);
}
