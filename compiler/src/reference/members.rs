//! Members of built-in types, as documentation shows them.

use serde::Serialize;

use crate::check::MEMBERS;
use crate::core::Builtin;

/// A member of a built-in type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The type that has it: `List<T>`.
    pub of: &'static str,
    /// Its name.
    pub name: &'static str,
    /// With what it takes and gives: `map(T => U): List<U>`.
    pub signature: String,
    /// What it gives.
    pub docs: &'static str,
}

/// Every member, by type.
pub fn members() -> Vec<Member> {
    let of_type = |(of, members): &(&'static str, &'static [(&'static str, Builtin)])| {
        let of = *of;
        members.iter().map(move |(name, builtin)| {
            let (rest, docs) = told(*builtin, of);
            Member { of, name, signature: format!("{name}{rest}"), docs }
        })
    };
    MEMBERS.iter().flat_map(of_type).collect()
}

fn told(builtin: Builtin, of: &str) -> (&'static str, &'static str) {
    match builtin {
        Builtin::Map => ("(T => U): List<U>", "What the function gives for each element."),
        Builtin::Filter => ("(T => Bool): List<T>", "The elements for which it is true."),
        Builtin::Fold => ("(U, (U, T) => U): U", "A start value, taken through all elements."),
        Builtin::All => ("(T => Bool): Bool", "Whether it is true for every element."),
        Builtin::Any => ("(T => Bool): Bool", "Whether it is true for one element at least."),
        Builtin::SortBy => ("(T => K): List<T>", "The elements in the order of what the function gives."),
        Builtin::Sort => (": List<T>", "The elements in order."),
        Builtin::Reverse => (": List<T>", "The elements from the last to the first."),
        Builtin::Take => ("(Int): List<T>", "The first elements, or all where there are fewer."),
        Builtin::Join => ("(String): String", "The elements as one text, with this between them."),
        Builtin::Len if of == "String" => (": Int", "How many characters there are."),
        Builtin::Len => (": Int", "How many there are."),
        Builtin::Contains if of == "String" => ("(String): Bool", "Whether this is part of it."),
        Builtin::Contains => ("(T): Bool", "Whether this is among them, as `in` says, too."),
        Builtin::Keys => (": List<K>", "The keys in order."),
        Builtin::Values => (": List<V>", "The values in the order of their keys."),
        Builtin::Split => ("(String): List<String>", "What stands between the occurrences of this."),
        Builtin::Replace => ("(String, String): String", "The text with each occurrence of the first replaced."),
        Builtin::Trim => (": String", "The text without blanks around it."),
        Builtin::Lower => (": String", "The text in small letters."),
        Builtin::Upper => (": String", "The text in capital letters."),
        Builtin::StartsWith => ("(String): Bool", "Whether it begins with this."),
        Builtin::EndsWith => ("(String): Bool", "Whether it ends with this."),
        Builtin::Matches => {
            ("(String): Bool", "Whether a regular expression finds something in it; `^…$` asks for all of it.")
        }
        Builtin::Fulfils => ("(VersionReq): Bool", "Whether the version fulfils the requirement."),
        Builtin::Compare => ("(Semver): Int", "Below, at or above 0, as the version is below, at or above the other."),
        Builtin::SortVersions => (": List<Semver>", "The versions from the lowest to the highest."),
        Builtin::Os => (": String", "`linux`, `windows`, `macos`, `freebsd`."),
        Builtin::Arch => (": String", "`amd64`, `arm64`, …"),
        Builtin::Distro => (": String?", "The distribution, where it is known."),
        Builtin::PlatformOf => (": Platform", "What it is for."),
        Builtin::FileName => (": String", "The last part of its path."),
        Builtin::FileText => (": String", "What is in it, which has to be UTF-8."),
        Builtin::DirFile => ("(String): File", "A file below it."),
        Builtin::DirDir => ("(String): Dir", "A directory below it."),
        Builtin::DirFiles => (": List<File>", "All files below it, in the order of their paths."),
        Builtin::BuildFile => ("(String): File", "A file of the image, once it is built."),
        Builtin::BuildDir => ("(String): Dir", "A directory of the image, once it is built."),
        Builtin::Digest if of == "Source" => (": Digest", "What the source is locked to."),
        Builtin::Digest => (": Digest", "What came out, once it is built."),
        Builtin::Id if of == "Source" => (": String", "What the source is locked to, as its platform names it."),
        Builtin::Id => (": String", "What its platform calls it, once it is built."),
        Builtin::BuiltSize => (": Size", "How large it is, once it is built."),
        Builtin::Raw => ("(String): Script<sh>", "A text that is a script as it stands."),
    }
}
