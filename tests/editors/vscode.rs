//! The extension of Visual Studio Code: types, package, colours, the plan's tree.

use std::process::Command;

use crate::{copy, root, run};

#[test]
fn the_extension_is_checked_packed_and_tested() {
    let folder = tempfile::tempdir().unwrap();
    let extension = folder.path().join("vscode");
    copy(&root().join("editors/vscode"), &extension);
    let npm = |arguments: &[&str]| {
        let mut command = Command::new("npm");
        // Scripts of packages would fetch programs that nothing here needs.
        command.args(arguments).current_dir(&extension).env("npm_config_ignore_scripts", "true");
        command.env("npm_config_audit", "false").env("npm_config_fund", "false").env("IMGC_ROOT", root());
        run(&mut command)
    };
    npm(&["ci"]);
    npm(&["run", "vsix"]);
    let said = npm(&["test"]);
    assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "{said}");
}
