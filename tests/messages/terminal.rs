//! What a terminal gets to see of source text.

use crate::bed::Bed;

#[test]
fn control_bytes_of_a_program_do_not_reach_the_terminal() {
    let bed = Bed::new("output o = \"\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\" + \u{1b}[31m nobody\u{1b} \r\n");
    bed.write("vars.json", "{ \"no\\u001b[2Jbody\": \"\\u001b[2J\" }");
    let calls: [&[&str]; 5] = [
        &["check"],
        &["check", "--format", "json"],
        &["check", "--format", "sarif"],
        &["plan"],
        &["plan", "--vars", "vars.json"],
    ];
    for call in calls {
        let said = bed.imgc(call);
        assert_eq!(said.code, Some(1), "{call:?}");
        for text in [&said.out, &said.err] {
            let bad = text.chars().find(|c| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c));
            assert_eq!(bad, None, "imgc {call:?} printed {text:?}");
        }
    }
}

#[test]
fn a_line_of_ten_thousand_brackets_is_cut() {
    let bed = Bed::new(&format!("output o = {}x{}\n", "[".repeat(10_000), "]".repeat(10_000)));
    let said = bed.imgc(&["check"]);
    said.fails(1, &["IMG0002", "main.imgc:1:"]);
    assert!(said.err.len() < 4_000, "{} bytes", said.err.len());
    let bed = Bed::new(&format!("output o = [{}\n", "f(1) ".repeat(2_000)));
    let said = bed.imgc(&["check"]);
    assert!(said.code == Some(1) && said.err.lines().all(|line| line.chars().count() < 400), "{}", said.err);
}

#[test]
fn a_hundred_errors_are_shown_and_the_rest_is_counted() {
    let lines: Vec<String> = (0..150).map(|n| format!("output o{n} = nobody{n}\n")).collect();
    let said = Bed::new(&lines.concat()).imgc(&["check"]);
    said.fails(1, &["nobody0", "nobody99", "50 further errors are not shown"]);
    assert!(!said.err.contains("nobody100`"), "{}", said.err);
    let order: Vec<usize> = (0..100).filter_map(|n| said.err.find(&format!("`nobody{n}`"))).collect();
    assert!(order.len() == 100 && order.is_sorted(), "not in source order");
}
