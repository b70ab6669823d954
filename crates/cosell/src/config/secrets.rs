//! Files that hold secrets or decide whom to trust: whether others on this machine can read or change them.

use std::path::Path;

/// Warns of a file with a secret in it that everybody on this machine can read or change.
pub(super) fn warn_of_open_secret(file: &Path, what: &str) {
    if let Some(problem) = problem_of(file, OTHERS_READ | OTHERS_WRITE) {
        let file = file.display();
        tracing::warn!("{what} {file} can be {problem} by every user of this machine: chmod 600 {file}");
    }
}

/// Warns of a file that decides whom to trust and that everybody on this machine can change.
pub(super) fn warn_of_open_trust(file: &Path, what: &str) {
    if let Some(problem) = problem_of(file, OTHERS_WRITE) {
        let file = file.display();
        tracing::warn!("{what} {file} can be {problem} by every user of this machine: chmod o-w {file}");
    }
}

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

#[cfg(unix)]
fn problem_of(file: &Path, bits: u32) -> Option<&'static str> {
    use std::os::unix::fs::PermissionsExt;
    // One that cannot be looked at cannot be used either, which is said there.
    let open = std::fs::metadata(file).ok()?.permissions().mode() & bits;
    match (open & OTHERS_READ, open & OTHERS_WRITE) {
        (0, 0) => None,
        (_, 0) => Some("read"),
        (0, _) => Some("changed"),
        _ => Some("read and changed"),
    }
}

#[cfg(not(unix))]
fn problem_of(_: &Path, _: u32) -> Option<&'static str> {
    None
}

/// Whether the address of a database holds a password, in either of its two forms.
pub(super) fn has_password(database: &str) -> bool {
    let in_url = database.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, word)| !word.is_empty()))
    });
    in_url || database.split(['?', '&', ' ']).any(|part| part.trim_start().starts_with("password="))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_may_do_with_a_file_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, secret, trust) in [
            (0o600, None, None),
            (0o640, None, None),
            (0o660, None, None),
            (0o644, Some("read"), None),
            (0o602, Some("changed"), Some("changed")),
            (0o666, Some("read and changed"), Some("changed")),
        ] {
            std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(problem_of(file.path(), OTHERS_READ | OTHERS_WRITE), secret, "{mode:o}");
            assert_eq!(problem_of(file.path(), OTHERS_WRITE), trust, "{mode:o}");
        }
        assert_eq!(problem_of(Path::new("/nowhere/key.pem"), OTHERS_READ), None);
    }

    #[test]
    fn a_password_in_the_address_of_a_database_is_seen() {
        for (database, has) in [
            ("postgres://cosell@db.contoso.example/cosell", false),
            ("postgres://cosell:secret@db.contoso.example/cosell", true),
            ("postgres://cosell:@db.contoso.example:5432/cosell", false),
            ("postgres://db.contoso.example:5432/cosell?password=secret", true),
            ("host=db user=cosell password=secret", true),
            ("host=db user=cosell passfile=/etc/x", false),
        ] {
            assert_eq!(has_password(database), has, "{database}");
        }
    }
}
