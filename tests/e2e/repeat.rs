//! Two clean builds, and a build as an ordinary user, give the same bytes.

use crate::bed::{Bed, Who, has, lacking, shared};
use crate::machine::key;

#[test]
fn every_example_is_byte_equal_in_three_clean_builds() {
    if !has("mmdebstrap") && lacking("mmdebstrap") {
        return;
    }
    let set = format!("admin_key={}", key().1);
    let beds = [("root", shared()), ("root again", Bed::new(Who::Root)), ("an ordinary user", Bed::new(Who::User))];
    for example in ["hello", "site", "twins", "web"] {
        let args: &[&str] = if example == "web" { &["--set", &set] } else { &[] };
        let mut first = None;
        let mut lock = None;
        for (who, bed) in &beds {
            let package = bed.example(example);
            // All three build what the first one locked, as people with one repository do.
            if let Some(lock) = &lock {
                std::fs::write(package.join("imgc.lock"), lock).expect("lock");
                bed.own();
            }
            bed.apply(&package, args);
            lock.get_or_insert_with(|| std::fs::read(package.join("imgc.lock")).expect("imgc.lock"));
            let sums = Bed::sums(&package);
            assert!(!sums.is_empty(), "{example} made nothing");
            let expected = first.get_or_insert_with(|| sums.clone());
            assert_eq!(&sums, expected, "{example}, built by {who}");
        }
    }
}
