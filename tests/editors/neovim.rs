//! Neovim with its built-in client, the set-up of this repository and the server as it is shipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{copy, root, run};

/// A package of two modules, for what concerns more than one.
const MAIN: &str = "import \"./lib.imgc\"\n\nimage web {\n  from = rootfs.debian(suite: \"bookworm\")\n\n  write \"motd\" { dest = \
                    \"/etc/motd\", text = lib.greeting }\n}\n\noutput box = oci.archive(web)\n";
const LIB: &str = "/// What is said.\npub let greeting = \"hello\\n\"\n";

/// One that is planned without asking anybody.
const PLAIN: &str = "image box {\n  from = rootfs.scratch()\n}\n\noutput archive = oci.archive(box)\n";

/// Runs a case of the driver on copies of the examples; the folder is what it left.
fn drive(case: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("work");
    copy(&root().join("examples"), &folder);
    std::fs::create_dir_all(folder.join("two")).unwrap();
    std::fs::write(folder.join("two/main.imgc"), MAIN).unwrap();
    std::fs::write(folder.join("two/lib.imgc"), LIB).unwrap();
    std::fs::create_dir_all(folder.join("plain")).unwrap();
    std::fs::write(folder.join("plain/main.imgc"), PLAIN).unwrap();
    let mut modules = Vec::new();
    find(&folder, &folder, &mut modules);
    modules.sort();
    let set_up = root().join("editors/nvim");
    let mut command = Command::new("nvim");
    command
        .args(["--headless", "-u", "NONE", "-i", "NONE", "-n", "--cmd"])
        .arg(format!("set runtimepath+={}", set_up.display()))
        .arg("-c")
        .arg(format!("luafile {}", root().join("tests/editors/drive.lua").display()))
        .current_dir(&folder)
        .env("IMGC_FOLDER", &folder)
        .env("IMGC_COMMAND", env!("CARGO_BIN_EXE_imgc"))
        .env("IMGC_MODULES", modules.join("\n"))
        .env("IMGC_CASE", case)
        // Nothing of the user's editor takes part.
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("XDG_CACHE_HOME", home.path())
        .env("XDG_STATE_HOME", home.path());
    let said = run(&mut command);
    assert!(said.contains(&format!("done: {case}")), "{said}");
    home
}

/// Every `main.imgc` below a folder, relative to it.
fn find(folder: &Path, base: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            find(&path, base, found);
        } else if path.ends_with("main.imgc") {
            found.push(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn neovim_applies_a_fix() {
    drive("action");
}

#[test]
fn neovim_completes_a_field() {
    drive("completion");
}

#[test]
fn neovim_renames_in_both_files() {
    let home = drive("rename");
    let package = home.path().join("work/two");
    let said = run(Command::new(env!("CARGO_BIN_EXE_imgc")).arg("check").arg(&package));
    let text = std::fs::read_to_string(package.join("lib.imgc")).unwrap();
    assert!(text.contains("pub let welcome ="), "{text}\n{said}");
}

#[test]
fn neovim_formats() {
    drive("format");
}

#[test]
fn neovim_looks_things_up() {
    drive("look");
}

#[test]
fn neovim_shows_the_plan_of_a_lens() {
    drive("lens");
}

#[test]
fn neovim_opens_every_example() {
    drive("examples");
}
