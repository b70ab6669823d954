//! The accepted audiences of sandbox tokens.

/// Returns the audiences that the sandbox accepts at `public_url` (`http://127.0.0.1:8080`). Source: spec 3.1.
pub fn accepted_audiences(public_url: &str) -> Vec<String> {
    let base = public_url.trim_end_matches('/');
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or(authority);
    let mut audiences = vec![
        "https://api.partner.microsoft.com".to_owned(),
        "https://api.partner.microsoft.com/".to_owned(),
        // The application "Microsoft Partner" of the Dev Center.
        "4990cffe-04e8-4e8b-808a-1175604b879f".to_owned(),
    ];
    // The published flow derives its audience from the host that it calls, and always writes https.
    let derived =
        [base.to_owned(), format!("https://{authority}"), format!("https://{}", without_port(authority))];
    for audience in derived {
        for audience in [format!("{audience}/"), audience] {
            if !audiences.contains(&audience) {
                audiences.push(audience);
            }
        }
    }
    audiences
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_audiences_and_those_of_the_public_url_are_accepted() {
        let audiences = accepted_audiences("http://127.0.0.1:8080");
        for expected in [
            "https://api.partner.microsoft.com",
            "https://api.partner.microsoft.com/",
            "4990cffe-04e8-4e8b-808a-1175604b879f",
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080/",
            "https://127.0.0.1:8080",
            "https://127.0.0.1",
        ] {
            assert!(audiences.iter().any(|a| a == expected), "{expected} in {audiences:?}");
        }
        let behind_a_path = accepted_audiences("https://cosell.example/referrals/");
        for expected in ["https://cosell.example/referrals", "https://cosell.example"] {
            assert!(behind_a_path.iter().any(|a| a == expected), "{expected} in {behind_a_path:?}");
        }
        assert!(accepted_audiences("http://[::1]:80").contains(&"https://[::1]".to_owned()));
        assert!(accepted_audiences("http://[::1]").contains(&"https://[::1]".to_owned()));
    }
}
