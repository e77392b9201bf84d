//! Seeds for cloud-init's data source NoCloud: the files of a disc that is named `cidata`.
//!
//! It says what the files hold; writing a disc is the business of others.

use imgc_backend::BackendError;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The label under which cloud-init looks for the disc.
pub const LABEL: &str = "cidata";

/// What stands behind a key of the build in `authorized_keys`, so that shipping can take it away.
pub const KEY_COMMENT: &str = "imgc-build";

/// What a machine is told when it first starts.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    /// Another one makes cloud-init begin anew.
    pub instance: String,
    /// The machine's name; none: as the image has it.
    pub hostname: Option<String>,
    /// As cloud-init takes it, secrets filled in: `#cloud-config`, a script, MIME.
    pub user_data: Zeroizing<String>,
    /// Network configuration as YAML, version 1 or 2; none: cloud-init's own choice, which is DHCP.
    pub network: Option<Zeroizing<String>>,
    /// Who logs in with a key of the build.
    pub login: Option<SeedLogin>,
}

/// A user and a key that the build logs in with.
#[derive(Debug, Clone)]
pub struct SeedLogin {
    /// One that the image or the user data makes, or `root`; any other is made, and may use `sudo`.
    pub user: String,
    /// Kind and key, as in `authorized_keys`, without a comment.
    pub public_key: String,
}

/// A file of the disc.
pub struct SeedFile {
    /// As cloud-init looks for it.
    pub name: &'static str,
    /// May hold secrets.
    pub content: Zeroizing<Vec<u8>>,
}

impl Seed {
    /// The files of the disc.
    ///
    /// # Errors
    /// The user data is nothing that cloud-init would take, and it would pass over it without a word.
    pub fn files(&self) -> Result<Vec<SeedFile>, BackendError> {
        check_user_data(&self.user_data)?;
        let file = |name, content: Vec<u8>| SeedFile { name, content: Zeroizing::new(content) };
        let mut files = vec![
            file("user-data", self.user_data.as_bytes().to_vec()),
            file("meta-data", self.meta_data().to_string().into_bytes()),
        ];
        if let Some(network) = &self.network {
            files.push(file("network-config", network.as_bytes().to_vec()));
        }
        if let Some(login) = &self.login {
            files.push(file("vendor-data", login.vendor_data().into_bytes()));
        }
        Ok(files)
    }

    /// JSON is YAML as well, and needs no rules for what to quote.
    fn meta_data(&self) -> Value {
        let mut data = json!({ "instance-id": self.instance });
        if let Some(fields) = data.as_object_mut() {
            if let Some(hostname) = &self.hostname {
                fields.insert("local-hostname".to_owned(), json!(hostname));
            }
            if let Some(login) = &self.login {
                fields.insert("public-keys".to_owned(), json!([login.line()]));
            }
        }
        data
    }
}

impl SeedLogin {
    fn line(&self) -> String {
        format!("{} {KEY_COMMENT}", self.public_key.trim())
    }

    /// The metadata's keys go to the image's default user, and to root unless that is forbidden, as it is by default.
    /// User data has precedence over all of this.
    fn vendor_data(&self) -> String {
        let config = if self.user == "root" {
            json!({ "disable_root": false })
        } else {
            json!({ "users": ["default", {
                "name": self.user,
                // Tells shipping whom the build made.
                "gecos": KEY_COMMENT,
                "ssh_authorized_keys": [self.line()],
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "shell": "/bin/bash",
            }] })
        };
        format!("#cloud-config\n{config}\n")
    }
}

/// The first line decides what cloud-init takes user data for.
fn check_user_data(text: &str) -> Result<(), BackendError> {
    const KNOWN: [&str; 8] = [
        "#cloud-config",
        "#!",
        "#include",
        "#cloud-boothook",
        "#upstart-job",
        "#part-handler",
        "## template: jinja",
        "Content-Type: multipart/",
    ];
    let first = text.lines().next().unwrap_or_default();
    let mime = first.starts_with("MIME-Version:") || first.starts_with("From nobody");
    if text.trim().is_empty() || mime || KNOWN.iter().any(|known| first.starts_with(known)) {
        return Ok(());
    }
    Err(BackendError::Program {
        message: "cloud-init would pass over this user data: its first line says none of the kinds that it takes"
            .to_owned(),
        help: Some("begin it with the line `#cloud-config`, or with `#!` for a script".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(seed: &Seed) -> Vec<(&'static str, String)> {
        let files = seed.files().unwrap();
        files.iter().map(|file| (file.name, String::from_utf8(file.content.to_vec()).unwrap())).collect()
    }

    #[test]
    fn a_login_of_the_build_gets_its_key() {
        let login = SeedLogin { user: "root".into(), public_key: "ssh-ed25519 AAAA\n".into() };
        let user_data = Zeroizing::new("#cloud-config\n{}\n".to_owned());
        let seed = Seed {
            instance: "i-1".into(),
            hostname: Some("web: 1".into()),
            user_data,
            network: None,
            login: Some(login),
        };
        let files = texts(&seed);
        assert_eq!(files[0], ("user-data", "#cloud-config\n{}\n".to_owned()));
        let meta: Value = serde_json::from_str(&files[1].1).unwrap();
        let expected = json!({
            "instance-id": "i-1", "local-hostname": "web: 1", "public-keys": ["ssh-ed25519 AAAA imgc-build"]
        });
        assert_eq!(meta, expected);
        assert_eq!(files[2], ("vendor-data", "#cloud-config\n{\"disable_root\":false}\n".to_owned()));
    }

    #[test]
    fn user_data_that_would_be_passed_over_is_refused() {
        let check = |text: &str| check_user_data(text).map_err(|error| error.to_string());
        for fine in ["#cloud-config\n", "#!/bin/sh\n", "", "## template: jinja\n#cloud-config\n"] {
            assert_eq!(check(fine), Ok(()), "{fine:?}");
        }
        assert!(check("packages: [nginx]\n").unwrap_err().contains("pass over"));
        assert!(check("# cloud-config\n").is_err());
    }
}
