//! Where a private cluster lives, and as whom. The home is short enough for a socket's path, can be entered by the
//! server's user, belongs to it, and is locked by the one process that runs the server.
//!
//! ```text
//! <home>/data      the cluster          <home>/socket    .s.PGSQL.5432
//! <home>/log       what the server said
//! ```

use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest, Sha256};

use super::ManagedError;

/// A socket's path has at most 107 bytes (`sun_path`, with its final NUL 108); 21 of them are
/// `/socket/.s.PGSQL.5432`.
const LONGEST_HOME: usize = 107 - 21;

/// The account that the server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Whether this process is root and has to change to it.
    drops: bool,
}

impl ServerUser {
    /// The user of this process; for root, `postgres`, else `nobody`.
    pub fn choose() -> Result<Self, ManagedError> {
        let own = fs::metadata("/proc/self").map_err(ManagedError::io("/proc/self"))?;
        if own.uid() != 0 {
            return Ok(Self { uid: own.uid(), gid: own.gid(), drops: false });
        }
        Self::unprivileged().into_iter().next().ok_or(ManagedError::NoServerUser)
    }

    /// The accounts that root may drop to, best first.
    fn unprivileged() -> Vec<Self> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"].into_iter().filter_map(|name| Self::in_passwd(&passwd, name)).collect()
    }

    fn in_passwd(passwd: &str, name: &str) -> Option<Self> {
        let mut fields =
            passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':');
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (uid != 0).then_some(Self { uid, gid, drops: true })
    }

    /// Makes `command` run as this user, in a directory that everybody can enter.
    pub fn drop_to(self, command: &mut Command) {
        command.current_dir("/");
        if self.drops {
            command.uid(self.uid).gid(self.gid);
        }
    }

    fn can_enter(self, path: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        self.drop_to(&mut command);
        command.args(["-c", r#"cd -- "$1" && [ -w . ]"#, "sh"]).arg(path);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// A locked home directory.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    user: ServerUser,
    /// Held for as long as this process may run a server in here; the kernel frees it with the process.
    _lock: File,
}

impl Home {
    /// Takes `dir/postgres`, or where that cannot be, the first of some places elsewhere that can.
    pub(super) fn open(dir: &Path, user: ServerUser) -> Result<Self, ManagedError> {
        let dir = std::path::absolute(dir).map_err(ManagedError::io(dir.display().to_string()))?;
        Self::first_of(places(&dir, user), user)
    }

    /// Takes `home` itself.
    pub(super) fn open_in(home: &Path, user: ServerUser) -> Result<Self, ManagedError> {
        Self::first_of(vec![home.to_path_buf()], user)
    }

    fn first_of(places: Vec<PathBuf>, user: ServerUser) -> Result<Self, ManagedError> {
        let mut tried = Vec::new();
        for place in places {
            if place.as_os_str().len() <= LONGEST_HOME
                && let Some(user) = prepare(&place, user)?
            {
                return Self::lock(place, user);
            }
            tried.push(place.display().to_string());
        }
        Err(ManagedError::NoPlace { user: user.uid.to_string(), tried: tried.join(", ") })
    }

    fn lock(path: PathBuf, user: ServerUser) -> Result<Self, ManagedError> {
        let directory = File::open(&path).map_err(ManagedError::io(path.display().to_string()))?;
        match directory.try_lock() {
            Ok(()) => Ok(Self { path, user, _lock: directory }),
            Err(TryLockError::WouldBlock) => Err(ManagedError::InUse(path)),
            Err(TryLockError::Error(source)) => {
                Err(ManagedError::io(format!("locking {}", path.display()))(source))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn user(&self) -> ServerUser {
        self.user
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn socket_dir(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// URL through the socket, as libpq and tokio-postgres read it.
    pub(super) fn url(&self, role: &str, database: &str) -> String {
        url_in(&self.path, role, database)
    }

    /// Major release that the data is of; none where there is no data yet.
    pub(super) fn data_release(&self) -> Option<String> {
        let text = fs::read_to_string(self.data_dir().join("PG_VERSION")).ok()?;
        Some(text.trim().to_owned())
    }

    /// First line of `postmaster.pid`; the process may be dead, or somebody else's by now.
    pub(super) fn postmaster_pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data_dir().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }
}

/// URL of a server whose home is `home`, whoever runs it.
pub(super) fn url_in(home: &Path, role: &str, database: &str) -> String {
    let directory = home.join("socket");
    let host = percent_encode(directory.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    format!("postgres:///{database}?user={role}&host={host}")
}

/// `dir/postgres` first; the others are named by a hash of `dir`, so that the next start finds the same.
fn places(dir: &Path, user: ServerUser) -> Vec<PathBuf> {
    let hash = Sha256::digest(dir.as_os_str().as_bytes());
    let name: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("utm-dispatcher-{name}");
    let mut places = vec![dir.join("postgres")];
    if user.drops {
        places.push(Path::new("/var/lib").join(&name));
    } else if let Some(home) = env::var_os("HOME") {
        places.push(PathBuf::from(home).join(".local/state").join(&name));
    }
    places.extend(["/var/tmp", "/tmp"].map(|parent| Path::new(parent).join(&name)));
    places
}

/// Makes `place` a directory that only its user can enter, or says none when that cannot be here. An existing one
/// keeps the user that it was made for.
fn prepare(place: &Path, user: ServerUser) -> Result<Option<ServerUser>, ManagedError> {
    if let Some(parent) = place.parent()
        && fs::create_dir_all(parent).is_err()
    {
        return Ok(None);
    }
    let made = match DirBuilder::new().mode(0o700).create(place) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(_) => return Ok(None),
    };
    let owner = if made {
        if user.drops {
            chown(place, Some(user.uid), Some(user.gid)).map_err(ManagedError::io("chown"))?;
        }
        user
    } else {
        owner_of(place, user)?
    };
    if owner.can_enter(place) {
        return Ok(Some(owner));
    }
    if made {
        fs::remove_dir(place).map_err(ManagedError::io(place.display().to_string()))?;
    }
    Ok(None)
}

/// Whose the existing `place` is. Anybody may have put a directory of that name into `/tmp`: only the accounts that
/// the server would run as are accepted, and no links.
fn owner_of(place: &Path, user: ServerUser) -> Result<ServerUser, ManagedError> {
    let found = fs::symlink_metadata(place).map_err(ManagedError::io(place.display().to_string()))?;
    let accepted = if user.drops { ServerUser::unprivileged() } else { vec![user] };
    let owner = accepted.into_iter().find(|candidate| found.is_dir() && candidate.uid == found.uid());
    owner.ok_or_else(|| ManagedError::ForeignHome { path: place.to_path_buf(), owner: found.uid() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_passwd_and_root_is_never_one() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgresql:x:9:9::/:/x\npostgres:x:101:104:,,,:/var/lib:/bin/sh\n";
        assert_eq!(
            ServerUser::in_passwd(passwd, "postgres"),
            Some(ServerUser { uid: 101, gid: 104, drops: true })
        );
        assert_eq!(ServerUser::in_passwd(passwd, "nobody"), None);
        assert_eq!(ServerUser::in_passwd(passwd, "root"), None);
    }
}
