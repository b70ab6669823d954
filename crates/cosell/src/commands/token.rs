//! `cosell token`: a bearer token of a running sandbox, for shells.

use net::{AddressPolicy, ClientOptions, HttpClient, HttpDocument};
use serde::Deserialize;

use crate::failure::Failure;
use crate::options::TokenOptions;
use crate::terminal;

/// Any client will do for the sandbox's issuer.
const CLIENT: &str = "cosell-token";

/// Prints the token and nothing else.
///
/// # Errors
/// `Failed` when there is no sandbox, or it refuses.
pub fn run(options: TokenOptions) -> Result<(), Failure> {
    let server = super::server_url(&options.server)?;
    let form = form(&[
        ("grant_type", "password"),
        ("scope", "openid"),
        ("resource", &options.audience),
        ("client_id", CLIENT),
        ("client_secret", CLIENT),
        ("username", &options.user),
        ("password", &options.password),
    ]);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let token = runtime.block_on(request_token(&server, form))?;
    terminal::print_line(&token);
    Ok(())
}

async fn request_token(server: &str, form: String) -> Result<String, Failure> {
    let client = HttpClient::new(ClientOptions {
        policy: AddressPolicy { allow_loopback: true, allow_private: true },
        plain_http: true,
        ..ClientOptions::default()
    })
    .map_err(Failure::failed)?;
    let url = format!("{server}/common/oauth2/token");
    let answer = client.post(&url, "application/x-www-form-urlencoded", form).await;
    let answer = answer.map_err(|error| {
        Failure::failed(format!("no token from {server}: {error}. Is cosell sandbox running there?"))
    })?;
    token(server, &answer)
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
}

#[derive(Deserialize)]
struct TokenErrorBody {
    error: String,
    error_description: Option<String>,
}

fn token(server: &str, answer: &HttpDocument) -> Result<String, Failure> {
    if answer.status.is_success()
        && let Ok(granted) = serde_json::from_slice::<TokenResponse>(&answer.body)
    {
        return Ok(granted.access_token);
    }
    Err(Failure::failed(match serde_json::from_slice::<TokenErrorBody>(&answer.body) {
        Ok(refused) => {
            let why = refused.error_description.unwrap_or(refused.error);
            format!("{server} refuses a token: {}", why.lines().next().unwrap_or_default())
        }
        Err(_) => format!("{server} answered {}, which no sandbox does", answer.status.as_u16()),
    }))
}

/// `application/x-www-form-urlencoded`
fn form(members: &[(&str, &str)]) -> String {
    let encoded: Vec<String> =
        members.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    encoded.join("&")
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_carries_any_text() {
        assert_eq!(form(&[("a", "x y&z=ü+"), ("b", "")]), "a=x%20y%26z%3D%C3%BC%2B&b=");
    }
}
