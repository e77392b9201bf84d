//! Users and groups, by the guest's own files: a static program has no other name services.

/// A user and what a login would give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// The account of a name or number.
pub(crate) fn account(user: &str) -> Result<Account, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    among(user, &read("/etc/passwd"), &read("/etc/group"))
}

/// The id of a group's name or number.
pub(crate) fn group(group: &str) -> Result<u32, String> {
    group_among(group, &std::fs::read_to_string("/etc/group").unwrap_or_default())
}

fn among(user: &str, passwd: &str, groups: &str) -> Result<Account, String> {
    let number: Option<u32> = user.parse().ok();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell, ..] = fields.as_slice() else { continue };
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
        if *name == user || number == Some(uid) {
            let text = |text: &str, fallback: &str| if text.is_empty() { fallback } else { text }.to_owned();
            return Ok(Account {
                name: (*name).to_owned(),
                uid,
                gid,
                groups: memberships(name, gid, groups),
                home: text(home, "/"),
                shell: text(shell, "/bin/sh"),
            });
        }
    }
    let (home, shell) = ("/".to_owned(), "/bin/sh".to_owned());
    match number {
        Some(uid) => Ok(Account { name: user.to_owned(), uid, gid: uid, groups: vec![uid], home, shell }),
        // A guest may have no `/etc/passwd` at all.
        None if user == "root" => Ok(Account { name: user.to_owned(), uid: 0, gid: 0, groups: vec![0], home, shell }),
        None => Err(format!("the guest has no user `{user}`")),
    }
}

fn memberships(user: &str, gid: u32, groups: &str) -> Vec<u32> {
    let mut ids = vec![gid];
    for line in groups.lines() {
        let mut fields = line.split(':').skip(2);
        let (Some(Ok(id)), Some(members)) = (fields.next().map(str::parse), fields.next()) else { continue };
        if !ids.contains(&id) && members.split(',').any(|member| member == user) {
            ids.push(id);
        }
    }
    ids
}

fn group_among(group: &str, groups: &str) -> Result<u32, String> {
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.or_else(|| group.parse().ok()).ok_or_else(|| format!("the guest has no group `{group}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nwww:x:33:34:www:/var/www:\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:www,root\nweb:x:34:www\nbad:x:no:www\n";

    #[test]
    fn users_are_found_by_name_and_number_with_their_groups() {
        let www = among("www", PASSWD, GROUP).unwrap();
        assert_eq!((www.uid, www.gid, www.groups.as_slice()), (33, 34, [34, 4].as_slice()));
        assert_eq!((www.home.as_str(), www.shell.as_str()), ("/var/www", "/bin/sh"));
        assert_eq!(among("33", PASSWD, GROUP).unwrap(), www);
        assert_eq!(among("1000", PASSWD, GROUP).unwrap().groups, [1000]);
        assert_eq!(among("nobody", PASSWD, GROUP), Err("the guest has no user `nobody`".to_owned()));
    }

    #[test]
    fn groups_are_found_by_name_and_number() {
        assert_eq!(group_among("adm", GROUP), Ok(4));
        assert_eq!(group_among("77", GROUP), Ok(77));
        assert!(group_among("none", GROUP).is_err());
    }
}
