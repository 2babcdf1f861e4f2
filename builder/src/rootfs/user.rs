//! Who a `USER` or a `--chown` names, looked up in the image's own `/etc/passwd` and `/etc/group`.

use super::Root;
use dockerfile_parser::suggest::nearest;
use std::io;
use std::path::{Path, PathBuf};

/// Larger account files are refused.
pub const MAX_ACCOUNT_FILE: u64 = 10 << 20;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, without the primary one.
    pub groups: Vec<u32>,
    /// Home directory; `/` when the account file does not know the user.
    pub home: PathBuf,
}

impl ResolvedUser {
    /// The superuser, whatever the image says.
    pub fn root() -> Self {
        Self { uid: 0, gid: 0, groups: Vec::new(), home: PathBuf::from("/root") }
    }
}

/// Who owns what a `--chown` copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A user or group cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name is not in the account file.
    #[error("no {what} named {name:?} in the image's {file}")]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file that was read.
        file: &'static str,
        /// A name in it that may have been meant.
        near: Option<String>,
    },
    /// There is no account file to look a name up in.
    #[error("no {what} named {name:?}: the image has no {file}")]
    NoFile {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file that is not there.
        file: &'static str,
    },
    /// A number that is no id.
    #[error("{text:?} is no user or group id: ids go from 0 to 4294967294")]
    IdOutOfRange {
        /// The number.
        text: String,
    },
    /// Something like `user:`, `:group` or nothing at all.
    #[error("{text:?} names no user: write user, user:group, uid or uid:gid")]
    Malformed {
        /// The text.
        text: String,
    },
    /// The file cannot be read.
    #[error("cannot read the image's {file}")]
    Read {
        /// The file.
        file: &'static str,
        /// Why; `EFBIG` when it is larger than [`MAX_ACCOUNT_FILE`], `EINVAL` when it is no regular file.
        source: io::Error,
    },
}

impl UserError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unknown { near: Some(near), .. } => Some(format!("did you mean {near}?")),
            Self::Unknown { what, .. } => {
                Some(format!("make the {what} in an earlier instruction, or write a numeric id"))
            }
            Self::NoFile { file, .. } => Some(format!("write a numeric id, or put a {file} in place before")),
            _ => None,
        }
    }
}

/// Resolves the `user[:group]` of `USER`.
///
/// A name takes its ids, groups and home from `/etc/passwd` and `/etc/group`. A number is taken as it is; it has group
/// 0 and no supplementary groups unless `/etc/passwd` has that number. A group that is given replaces them all.
///
/// # Errors
/// [`UserError`].
pub fn resolve_user(root: &Root, text: &str) -> Result<ResolvedUser, UserError> {
    let (user, group) = split(text)?;
    let wanted = Wanted::parse(user)?;
    let passwd = read(root, PASSWD)?;
    let accounts = passwd.as_deref().unwrap_or_default();
    let entry = passwd_entries(accounts).find(|entry| entry.is(&wanted));
    let groups = read(root, GROUP)?;
    let (uid, gid, home) = match (&entry, wanted) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home()),
        (None, Wanted::Id(uid)) => (uid, 0, PathBuf::from("/")),
        // An image without accounts still has a superuser.
        (None, Wanted::Name("root")) if accounts.is_empty() => (0, 0, PathBuf::from("/root")),
        (None, Wanted::Name(name)) => return Err(unknown_user(name, passwd.as_deref())),
    };
    if let Some(group) = group {
        return Ok(ResolvedUser { uid, gid: group_id(groups.as_deref(), group)?, groups: Vec::new(), home });
    }
    let groups = groups.unwrap_or_default();
    let mut supplementary: Vec<u32> = match &entry {
        None => Vec::new(),
        Some(entry) => {
            group_entries(&groups).filter(|group| group.has(entry.name)).map(|group| group.gid).collect()
        }
    };
    supplementary.sort_unstable();
    supplementary.dedup();
    supplementary.retain(|&group| group != gid);
    Ok(ResolvedUser { uid, gid, groups: supplementary, home })
}

/// Resolves the `user[:group]` of `--chown`.
///
/// A number alone is user and group id; a name alone takes both from `/etc/passwd`. The files are read only when a
/// name is looked up.
///
/// # Errors
/// [`UserError`].
pub fn resolve_chown(root: &Root, text: &str) -> Result<Ownership, UserError> {
    let (user, group) = split(text)?;
    let (uid, own_gid) = match Wanted::parse(user)? {
        Wanted::Id(uid) => (uid, uid),
        name => {
            let passwd = read(root, PASSWD)?;
            let accounts = passwd.as_deref().unwrap_or_default();
            match passwd_entries(accounts).find(|entry| entry.is(&name)) {
                Some(entry) => (entry.uid, entry.gid),
                None if user == "root" && accounts.is_empty() => (0, 0),
                None => return Err(unknown_user(user, passwd.as_deref())),
            }
        }
    };
    let gid = match group.map(|group| Ok((group, Wanted::parse(group)?))).transpose()? {
        None => own_gid,
        Some((_, Wanted::Id(gid))) => gid,
        Some((group, Wanted::Name(_))) => group_id(read(root, GROUP)?.as_deref(), group)?,
    };
    Ok(Ownership { uid, gid })
}

/// A name or a number.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Name(&'a str),
    Id(u32),
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Result<Self, UserError> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Name(text));
        }
        // The last number means "leave it" to chown(2).
        match text.parse() {
            Ok(id) if id != u32::MAX => Ok(Self::Id(id)),
            _ => Err(UserError::IdOutOfRange { text: text.to_owned() }),
        }
    }
}

fn split(text: &str) -> Result<(&str, Option<&str>), UserError> {
    let (user, group) = match text.split_once(':') {
        None => (text, None),
        Some((user, group)) => (user, Some(group)),
    };
    if user.is_empty() || group.is_some_and(str::is_empty) {
        return Err(UserError::Malformed { text: text.to_owned() });
    }
    Ok((user, group))
}

struct Passwd<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

impl Passwd<'_> {
    fn is(&self, wanted: &Wanted<'_>) -> bool {
        match wanted {
            Wanted::Name(name) => self.name == name.as_bytes(),
            Wanted::Id(uid) => self.uid == *uid,
        }
    }

    fn home(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        if self.home.is_empty() {
            return PathBuf::from("/");
        }
        PathBuf::from(std::ffi::OsStr::from_bytes(self.home))
    }
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

impl Group<'_> {
    fn has(&self, user: &[u8]) -> bool {
        self.members.split(|&byte| byte == b',').any(|member| member.trim_ascii() == user)
    }
}

/// Lines that do not have the fields are skipped, as libc does.
fn passwd_entries(file: &[u8]) -> impl Iterator<Item = Passwd<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(Passwd { name, uid: number(uid)?, gid: number(gid)?, home })
    })
}

fn group_entries(file: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Group { name, gid: number(gid)?, members: fields.next().unwrap_or_default() })
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.starts_with(b"#"))
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn group_id(file: Option<&[u8]>, group: &str) -> Result<u32, UserError> {
    let entries = file.unwrap_or_default();
    match Wanted::parse(group)? {
        Wanted::Id(gid) => Ok(gid),
        Wanted::Name(name) => group_entries(entries)
            .find(|entry| entry.name == name.as_bytes())
            .map(|entry| entry.gid)
            .ok_or_else(|| {
                let names = file.map(|file| group_entries(file).map(|entry| entry.name).collect());
                unknown("group", name, GROUP, names)
            }),
    }
}

fn unknown_user(name: &str, passwd: Option<&[u8]>) -> UserError {
    let names = passwd.map(|file| passwd_entries(file).map(|entry| entry.name).collect());
    unknown("user", name, PASSWD, names)
}

/// `names` are those of the account file, if there is one.
fn unknown(what: &'static str, name: &str, file: &'static str, names: Option<Vec<&[u8]>>) -> UserError {
    let wanted = name.to_owned();
    let Some(names) = names else { return UserError::NoFile { what, name: wanted, file } };
    let near = nearest(name, names.iter().filter_map(|name| std::str::from_utf8(name).ok()));
    let near = near.map(str::to_owned);
    UserError::Unknown { what, name: wanted, file, near }
}

/// The file's bytes; `None` when it is not there (an image made from scratch has no accounts).
fn read(root: &Root, file: &'static str) -> Result<Option<Vec<u8>>, UserError> {
    match root.read(Path::new(file), MAX_ACCOUNT_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(|source| UserError::Read { file, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(passwd: Option<&str>, group: Option<&str>) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        for (name, text) in [("passwd", passwd), ("group", group)] {
            if let Some(text) = text {
                std::fs::write(dir.path().join("etc").join(name), text).unwrap();
            }
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    const ACCOUNTS: &str = "# accounts\nroot:x:0:0:root:/root:/bin/sh\nbroken:line\n\
                            app:x:1000:1001:App:/home/app:/bin/sh\nbare:x:7:8\n";
    const GROUPS: &str = "root:x:0:\napp:x:1001:\nvideo:x:44:other,app\naudio:x:29:app\nown:x:1001:app\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> ResolvedUser {
        ResolvedUser { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn user_forms() {
        let (_dir, root) = image(Some(ACCOUNTS), Some(GROUPS));
        for (text, want) in [
            ("app", user(1000, 1001, &[29, 44], "/home/app")),
            ("1000", user(1000, 1001, &[29, 44], "/home/app")),
            ("app:video", user(1000, 44, &[], "/home/app")),
            ("app:5", user(1000, 5, &[], "/home/app")),
            ("4242", user(4242, 0, &[], "/")),
            ("4242:video", user(4242, 44, &[], "/")),
            ("0", user(0, 0, &[], "/root")),
            ("bare", user(7, 8, &[], "/")),
        ] {
            assert_eq!(resolve_user(&root, text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn chown_forms() {
        let (_dir, root) = image(Some(ACCOUNTS), Some(GROUPS));
        for (text, uid, gid) in [
            ("1000", 1000, 1000),
            ("app", 1000, 1001),
            ("1000:video", 1000, 44),
            ("app:0", 1000, 0),
            ("55:66", 55, 66),
        ] {
            assert_eq!(resolve_chown(&root, text).unwrap(), Ownership { uid, gid }, "{text}");
        }
    }

    #[test]
    fn unknown_names_name_the_file() {
        let (_dir, root) = image(Some(ACCOUNTS), Some(GROUPS));
        let text = |error: UserError| error.to_string();
        let user = "no user named \"nobody\" in the image's /etc/passwd";
        let group = "no group named \"wheel\" in the image's /etc/group";
        assert_eq!(text(resolve_user(&root, "nobody").unwrap_err()), user);
        assert_eq!(text(resolve_chown(&root, "nobody:root").unwrap_err()), user);
        assert_eq!(text(resolve_user(&root, "app:wheel").unwrap_err()), group);
        assert_eq!(text(resolve_chown(&root, "1:wheel").unwrap_err()), group);
        let help = |error: UserError| error.help().unwrap_or_default();
        assert_eq!(help(resolve_user(&root, "apq").unwrap_err()), "did you mean app?");
        assert_eq!(help(resolve_user(&root, "app:vidio").unwrap_err()), "did you mean video?");
        assert!(help(resolve_user(&root, "nobody").unwrap_err()).contains("numeric id"));
    }

    #[test]
    fn an_image_without_accounts_says_so() {
        let (_dir, root) = image(None, None);
        for (text, what) in [("app", "user named \"app\""), ("1:app", "group named \"app\"")] {
            for error in [resolve_user(&root, text).unwrap_err(), resolve_chown(&root, text).unwrap_err()] {
                let said = error.to_string();
                assert!(said.contains(what) && said.contains("the image has no /etc/"), "{said}");
            }
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        let (_dir, root) = image(Some(ACCOUNTS), Some(GROUPS));
        for text in ["", ":", ":app", "app:"] {
            assert!(matches!(resolve_user(&root, text), Err(UserError::Malformed { .. })), "{text}");
            assert!(matches!(resolve_chown(&root, text), Err(UserError::Malformed { .. })), "{text}");
        }
        for text in ["4294967295", "99999999999999999999"] {
            assert!(matches!(resolve_user(&root, text), Err(UserError::IdOutOfRange { .. })), "{text}");
        }
    }

    #[test]
    fn an_image_without_accounts_has_numbers_and_root() {
        let (_dir, root) = image(None, None);
        assert_eq!(resolve_user(&root, "root").unwrap(), user(0, 0, &[], "/root"));
        assert_eq!(resolve_chown(&root, "root").unwrap(), Ownership { uid: 0, gid: 0 });
        assert_eq!(resolve_user(&root, "12:34").unwrap(), user(12, 34, &[], "/"));
        assert!(matches!(resolve_user(&root, "app"), Err(UserError::NoFile { .. })));
    }

    #[test]
    fn what_is_no_regular_file_or_too_large_is_refused() {
        let (dir, root) = image(None, None);
        std::fs::create_dir(dir.path().join("etc/passwd")).unwrap();
        assert!(matches!(resolve_user(&root, "app"), Err(UserError::Read { file: "/etc/passwd", .. })));
        std::fs::remove_dir(dir.path().join("etc/passwd")).unwrap();
        let file = std::fs::File::create(dir.path().join("etc/passwd")).unwrap();
        file.set_len(MAX_ACCOUNT_FILE + 1).unwrap();
        assert!(matches!(resolve_chown(&root, "app"), Err(UserError::Read { .. })));
    }
}
