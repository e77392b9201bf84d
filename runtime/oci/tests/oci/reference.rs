//! References as Docker reads them.

use imgc_oci::Reference;
use proptest::prelude::*;

fn full(text: &str) -> String {
    text.parse::<Reference>().map_or_else(|error| error.to_string(), |reference| reference.to_string())
}

#[test]
fn as_docker_reads_them() {
    let digest = "a".repeat(64);
    for (text, expected) in [
        ("debian", "docker.io/library/debian:latest".to_owned()),
        ("debian:12", "docker.io/library/debian:12".to_owned()),
        ("grafana/grafana", "docker.io/grafana/grafana:latest".to_owned()),
        ("docker.io/debian", "docker.io/library/debian:latest".to_owned()),
        ("index.docker.io/a/b:c", "docker.io/a/b:c".to_owned()),
        ("localhost/a", "localhost/a:latest".to_owned()),
        ("localhost:5000/a:b", "localhost:5000/a:b".to_owned()),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest".to_owned()),
        ("[::1]:5000/a:1", "[::1]:5000/a:1".to_owned()),
        ("quay.io/a__b/c-d.e:V_1.2-x", "quay.io/a__b/c-d.e:V_1.2-x".to_owned()),
        (&format!("debian@sha256:{digest}"), format!("docker.io/library/debian@sha256:{digest}")),
        (&format!("debian:12@sha256:{digest}"), format!("docker.io/library/debian:12@sha256:{digest}")),
    ] {
        assert_eq!(full(text), expected);
        assert_eq!(full(&full(text)), expected, "the full form is one, too");
    }
}

#[test]
fn what_is_no_reference() {
    for (text, why) in [
        ("", "it names no repository"),
        ("Debian", "a repository has lower-case letters"),
        ("a//b", "a repository has"),
        ("a/", "a repository has"),
        ("-a", "a repository has"),
        ("a..b", "a repository has"),
        ("a___b", "a repository has"),
        ("a:", "a tag has"),
        ("a:-b", "a tag has"),
        ("a:b c", "a tag has"),
        ("a b", "a repository has"),
        ("host:port/a", "its registry is not"),
        ("host:99999/a", "its registry is not"),
        ("-host.x/a", "its registry is not"),
        ("[::g]:1/a", "its registry is not"),
        ("quay.io/", "it names no repository"),
        ("a@sha256:12", "its digest does not have 64"),
        ("a@md5:12", "its digest is not a `sha256:` one"),
        ("http://quay.io/a", "its registry is not"),
        ("a/../b", "a repository has"),
    ] {
        let error = text.parse::<Reference>().unwrap_err();
        assert!(error.why.starts_with(why), "{text:?}: {}", error.why);
    }
    assert!("a".repeat(300).parse::<Reference>().is_err());
    assert!(format!("a@sha256:{}", "A".repeat(64)).parse::<Reference>().is_err());
}

#[test]
fn the_short_form() {
    for text in ["debian:12", "grafana/grafana:1", "localhost:5000/a:b"] {
        assert_eq!(text.parse::<Reference>().unwrap().familiar(), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_the_full_form_is_stable(text in "\\PC{0,40}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }

    #[test]
    fn honest_ones_are_taken(
        host in prop::option::of("[a-z]{1,8}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?"),
        path in "[a-z0-9]{1,6}(/[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}){0,2}",
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
    ) {
        let host = host.map(|host| format!("{host}/")).unwrap_or_default();
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let text = format!("{host}{path}{tag}");
        let reference: Reference = text.parse().unwrap();
        prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
    }
}
