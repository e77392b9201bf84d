//! Imports and files that follow a move.

use imgc_compiler::ide::structure::rename_files;

use crate::edited;
use crate::world::analysis;

/// The package after the move: each module by its new path.
fn moved(files: &[(&str, &str)], moves: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs: Vec<(String, String)> = moves.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let edits = rename_files(&analysis(files), &pairs);
    let text = |path: &str, text: &str| {
        let file = edits.iter().find(|file| file.path == path);
        file.map_or_else(|| text.to_owned(), |file| edited(text, &file.edits))
    };
    files.iter().map(|(path, before)| ((*path).to_owned(), text(path, before))).collect()
}

#[test]
fn importers_follow_a_module_and_keep_its_name() {
    let files = [
        (
            "main.imgc",
            "import \"./lib.imgc\"\nimport \"./lib.imgc\" as l\nimport { a } from \"./lib.imgc\"\nlet b = lib.a\n",
        ),
        ("lib.imgc", "pub let a = 1\n"),
    ];
    let after = moved(&files, &[("lib.imgc", "parts/base.imgc")]);
    assert_eq!(
        after[0].1,
        "import \"./parts/base.imgc\" as lib\nimport \"./parts/base.imgc\" as l\nimport { a } from \
         \"./parts/base.imgc\"\nlet b = lib.a\n"
    );
    assert_eq!(after[1].1, files[1].1);
}

#[test]
fn a_module_that_moves_takes_its_own_paths_along() {
    let files = [
        ("main.imgc", "import \"./lib.imgc\"\nlet b = lib.a\nlet d = dir(\"./site/\")\nlet f = file(\"a/x.txt\")\n"),
        ("lib.imgc", "pub let a = 1\n"),
    ];
    let after = moved(&files, &[("main.imgc", "a/main.imgc")]);
    let expected = "import \"../lib.imgc\"\nlet b = lib.a\nlet d = dir(\"../site/\")\nlet f = file(\"./x.txt\")\n";
    assert_eq!(after[0].1, expected);
}

#[test]
fn a_folder_moves_with_what_is_in_it() {
    let files = [
        ("main.imgc", "import \"./web/a.imgc\"\nlet s = file(\"./web/s.txt\")\nlet x = a.b\n"),
        (
            "web/a.imgc",
            "import \"./b.imgc\"\nimport \"../c.imgc\"\npub let b = file(\"./t.txt\")\nlet d = [b.x, c.y]\n",
        ),
        ("web/b.imgc", "pub let x = 1\n"),
        ("c.imgc", "pub let y = 1\n"),
    ];
    let after = moved(&files, &[("web", "apps/site")]);
    assert_eq!(after[0].1, "import \"./apps/site/a.imgc\"\nlet s = file(\"./apps/site/s.txt\")\nlet x = a.b\n");
    let expected = "import \"./b.imgc\"\nimport \"../../c.imgc\"\npub let b = file(\"./t.txt\")\nlet d = [b.x, c.y]\n";
    assert_eq!(after[1].1, expected);
}

#[test]
fn what_does_not_move_is_left_alone() {
    let files = [("main.imgc", "import \"./lib.imgc\"\nlet b = lib.a\n"), ("lib.imgc", "pub let a = 1\n")];
    for moves in [&[("other.imgc", "x.imgc")][..], &[("li", "x")], &[]] {
        assert_eq!(moved(&files, moves)[0].1, files[0].1);
    }
}
