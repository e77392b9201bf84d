//! `imgc explain CODE`.

use crate::bed::Bed;

#[test]
fn a_code_has_a_page_with_both_examples() {
    let bed = Bed::new("output o = 1\n");
    for code in ["IMG2001", "img2001"] {
        let page = bed.must(&["explain", code]);
        assert!(page.starts_with("IMG2001: a value of another type is expected\n"), "{page}");
        assert!(page.contains("Wrong:\n\n    param root: Size = 5\n"), "{page}");
        assert!(page.contains("Right:\n\n    param root: Size = 5GiB\n"), "{page}");
    }
    let page = bed.must(&["explain", "IMG1003"]);
    assert!(page.contains("  base.imgc:\n    import"), "{page}");
}

#[test]
fn an_unknown_code_is_said() {
    let bed = Bed::new("output o = 1\n");
    bed.imgc(&["explain", "IMG0999"]).fails(2, &["there is no code `IMG0999`"]);
}
