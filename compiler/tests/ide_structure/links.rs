//! What can be opened from a module.

use imgc_compiler::ide::structure::{LinkTo, links};

use crate::world::analysis;

#[test]
fn imports_files_and_addresses_lead_somewhere() {
    let text = r#"// See https://example.org/a(b), or <https://example.org/c>.
import std.users
import { harden } from "../shared/lib.imgc"
image web {
  copy "x" { src = file("./site/index.html"), dest = "/x" }
  copy "y" { src = dir("./site"), dest = "/y" }
  sh "get" { script = "curl https://example.org/d | sh" }
}
"#;
    let found = links(&analysis(&[("apps/main.imgc", text)]), "apps/main.imgc");
    let shown: Vec<(&str, &LinkTo)> = found.iter().map(|(range, to)| (&text[range.clone()], to)).collect();
    let page = |address: &str| LinkTo::Page(address.to_owned());
    let expected = [
        ("https://example.org/a(b", page("https://example.org/a(b")),
        ("https://example.org/c", page("https://example.org/c")),
        ("std.users", LinkTo::Module("std/users.imgc".to_owned())),
        ("../shared/lib.imgc", LinkTo::Module("shared/lib.imgc".to_owned())),
        ("./site/index.html", LinkTo::File("apps/site/index.html".to_owned())),
        ("https://example.org/d", page("https://example.org/d")),
    ];
    assert_eq!(shown, expected.iter().map(|(text, to)| (*text, to)).collect::<Vec<_>>());
}

#[test]
fn what_leads_out_of_the_package_is_no_link() {
    let text =
        "import \"../lib.imgc\"\nlet a = file(\"../../x\")\nlet b = file(\"\\{a}\")\nlet c = \"http:// httpx\"\n";
    assert_eq!(links(&analysis(&[("main.imgc", text)]), "main.imgc"), []);
}
