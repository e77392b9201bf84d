//! Users and groups as a guest's own `/etc/passwd` and `/etc/group` have them.

use crate::protocol::Failure;

/// Who runs a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl Account {
    /// The account with this name or number (`user` or `user:group`), by the files of the present root.
    pub(crate) fn find(user: &str) -> Result<Self, Failure> {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::among(user, &text("/etc/passwd"), &text("/etc/group"))
            .map_err(|message| Failure::Missing { message, help: Some("add it in an earlier step".to_owned()) })
    }

    /// The same, by the texts of the two files.
    ///
    /// # Errors
    /// The user or group does not exist.
    pub(crate) fn among(user: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (user, wanted_group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (user, None),
        };
        let mut account = known_user(user, passwd)
            .or_else(|| nameless(user))
            .ok_or_else(|| format!("the image has no user `{user}`"))?;
        if let Some(wanted) = wanted_group {
            account.gid = group_id(wanted, group).ok_or_else(|| format!("the image has no group `{wanted}`"))?;
        }
        // Of the group that is asked for, not of the one it takes the place of: that may be root's.
        account.groups = supplementary(&account, group);
        Ok(account)
    }
}

/// The number of a group, by name or number.
pub(crate) fn group_id(wanted: &str, group: &str) -> Option<u32> {
    let named = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let known = named.filter(|fields| fields.first() == Some(&wanted)).find_map(|fields| fields.get(2)?.parse().ok());
    known.or_else(|| wanted.parse().ok()).or_else(|| (wanted == "root").then_some(0))
}

fn known_user(user: &str, passwd: &str) -> Option<Account> {
    let lines: Vec<Vec<&str>> = passwd.lines().map(|line| line.split(':').collect()).collect();
    let by_field = |index: usize| lines.iter().find(|fields| fields.get(index) == Some(&user));
    let fields = by_field(0).or_else(|| by_field(2))?;
    Some(Account {
        name: (*fields.first()?).to_owned(),
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
        groups: Vec::new(),
        home: fields.get(5).filter(|home| !home.is_empty()).map_or("/", |home| *home).to_owned(),
    })
}

/// Users that need no entry: root, which every kernel knows, and plain numbers.
fn nameless(user: &str) -> Option<Account> {
    let (uid, home) =
        if user == "root" || user == "0" || user.is_empty() { (0, "/root") } else { (user.parse().ok()?, "/") };
    let name = if uid == 0 { "root" } else { user };
    Some(Account { name: name.to_owned(), uid, gid: 0, groups: Vec::new(), home: home.to_owned() })
}

fn supplementary(account: &Account, group: &str) -> Vec<u32> {
    let lines = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let ours =
        lines.filter(|fields| fields.get(3).is_some_and(|members| members.split(',').any(|m| m == account.name)));
    let mut groups: Vec<u32> = ours.filter_map(|fields| fields.get(2)?.parse().ok()).collect();
    groups.push(account.gid);
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/false\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nadm:x:4:www,root\nssl:x:110:www\n";

    fn check(user: &str) -> Result<(u32, u32, Vec<u32>, String), String> {
        Account::among(user, PASSWD, GROUP).map(|a| (a.uid, a.gid, a.groups, a.home))
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(check("www"), Ok((33, 33, vec![4, 33, 110], "/var/www".into())));
        assert_eq!(check("33"), check("www"));
        assert_eq!(check("1234"), Ok((1234, 0, vec![0], "/".into())));
        assert_eq!(check("www:adm").unwrap().1, 4);
        assert_eq!(check("www:7").unwrap().1, 7);
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(check("bob"), Err("the image has no user `bob`".into()));
        assert_eq!(check("www:bob"), Err("the image has no group `bob`".into()));
        assert_eq!(Account::among("root", "", "").map(|a| (a.uid, a.home)), Ok((0, "/root".into())));
    }
}
