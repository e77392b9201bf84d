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

/// Where a card stands: left, top, width, height.
type Frame = (f64, f64, f64, f64);

fn number(text: Option<&str>) -> f64 {
    text.and_then(|text| text.parse::<f64>().ok()).expect("number")
}

/// Frames of cards never overlap, nothing stands outside the picture, and texts fit into their cards.
fn readable(svg: &str) -> Vec<Frame> {
    let document = roxmltree::Document::parse(svg).expect("well-formed");
    let root = document.root_element();
    let (width, height) = (number(root.attribute("width")), number(root.attribute("height")));
    let mut cards: Vec<Frame> = Vec::new();
    for group in root.children() {
        let Some(at) = group.attribute("transform") else { continue };
        let (x, y) = at.trim_start_matches("translate(").trim_end_matches(')').split_once(' ').expect("two numbers");
        let frame = group.children().find(|child| child.has_tag_name("rect")).expect("a frame");
        let size = ["width", "height"].map(|name| number(frame.attribute(name)));
        for text in group.descendants().filter(|node| node.has_tag_name("text")) {
            // A character of the font is 7.2 wide at this size.
            let long = text.text().unwrap_or_default().chars().map(|_| 7.25).sum::<f64>();
            let (from, y) = (number(text.attribute("x")), number(text.attribute("y")));
            let from = if text.attribute("text-anchor") == Some("end") { from - long } else { from };
            assert!(from >= 0.0 && from + long <= size[0] && y > 0.0 && y < size[1], "{:?}", text.text());
        }
        cards.push((number(Some(x)), number(Some(y)), size[0], size[1]));
    }
    for (index, a) in cards.iter().enumerate() {
        assert!(a.0 >= 0.0 && a.1 >= 0.0 && a.0 + a.2 <= width && a.1 + a.3 <= height, "{a:?}");
        for b in &cards[index + 1..] {
            let apart = a.0 + a.2 <= b.0 || b.0 + b.2 <= a.0 || a.1 + a.3 <= b.1 || b.1 + b.3 <= a.1;
            assert!(apart, "{a:?} and {b:?}");
        }
    }
    let arrows = document.descendants().filter(|node| node.attribute("marker-end").is_some());
    for path in arrows.filter_map(|node| node.attribute("d")) {
        passes_no_card(path, &cards);
    }
    cards
}

/// An arrow of straight parts goes around cards; a bent one only where no card stands between its ends.
fn passes_no_card(path: &str, cards: &[Frame]) {
    let numbers = |text: &str| -> Vec<f64> { text.split([' ', 'C']).map(|n| number(Some(n))).collect() };
    let inside = |(left, top): (f64, f64), (right, bottom): (f64, f64)| {
        cards.iter().find(|(x, y, w, h)| left < x + w - 2.0 && right > x + 2.0 && top < y + h - 2.0 && bottom > y + 2.0)
    };
    if path.contains('C') {
        let at = numbers(path.trim_start_matches('M'));
        let [from, to] = [at[0], at[at.len() - 2]];
        let between = cards.iter().find(|(x, _, w, _)| *x > from && x + w < to);
        assert_eq!(between, None, "{path}");
        return;
    }
    let mut at = (0.0, 0.0);
    for (index, _) in path.match_indices(|c: char| c.is_ascii_uppercase()) {
        let rest = &path[index + 1..];
        let value = &rest[..rest.find(|c: char| c.is_ascii_uppercase()).unwrap_or(rest.len())];
        let next = match &path[index..=index] {
            "M" => (numbers(value)[0], numbers(value)[1]),
            "H" => (number(Some(value)), at.1),
            _ => (at.0, number(Some(value))),
        };
        if index > 0 {
            let (least, most) = ((at.0.min(next.0), at.1.min(next.1)), (at.0.max(next.0), at.1.max(next.1)));
            assert_eq!(inside(least, most), None, "{path}");
        }
        at = next;
    }
}

#[test]
fn five_nodes_are_readable() {
    let bed = Bed::new(&wide(1, 3));
    let svg = bed.must(&["graph", "--no-state"]);
    assert_eq!(svg.matches("<title>").count(), 6, "five rows and the picture: {svg}");
    assert_eq!(readable(&svg).len(), 2);
}

#[test]
fn two_hundred_nodes_do_not_overlap() {
    let bed = Bed::new(&wide(20, 9));
    let svg = bed.must(&["graph", "--no-state"]);
    let document = roxmltree::Document::parse(&svg).expect("well-formed");
    let [width, height] = ["width", "height"].map(|name| number(document.root_element().attribute(name)));
    assert!(width < 3.0 * height && height < 3.0 * width, "{width} by {height}");
    assert_eq!(readable(&svg).len(), 21);
    assert!(svg.contains("stroke-linejoin"), "some of its arrows go around cards");
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
