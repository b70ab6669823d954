//! `cosell health`: whether a server is ready, for containers, in which nothing else could ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::StatusCode;
use net::{AddressPolicy, ClientOptions, HttpClient, HttpDocument};
use serde::Deserialize;

use crate::config::Config;
use crate::failure::Failure;
use crate::options::HealthOptions;
use crate::terminal;

/// For the whole question.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks.
///
/// # Errors
/// `Usage` for settings or a file of authorities that cannot be used, or when the settings do not tell where to ask;
/// `Failed` when the server is not ready, or does not answer.
pub fn run(options: HealthOptions) -> Result<(), Failure> {
    let server = match &options.server {
        Some(server) => super::server_url(server)?,
        None => local(&Config::load(options.config.as_deref(), super::environment())?)?,
    };
    let client = HttpClient::new(ClientOptions {
        policy: AddressPolicy { allow_loopback: true, allow_private: true },
        plain_http: true,
        extra_ca: options.authorities,
        timeout: TIMEOUT,
        ..ClientOptions::default()
    })
    .map_err(Failure::usage)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let answer = runtime.block_on(client.get(&format!("{server}/readyz")));
    let answer = answer.map_err(|error| Failure::failed(format!("no answer from {server}: {error}")))?;
    check_response(&server, &answer)?;
    terminal::print_line("ready");
    Ok(())
}

/// Where a server of these settings is reached on this machine.
fn local(config: &Config) -> Result<String, Failure> {
    if config.tls.is_some() {
        return Err(Failure::usage(
            "the settings have [tls]: give --server https://NAME:PORT, with a name that the certificate is good for",
        ));
    }
    let mut address = config.listener.address;
    if address.port() == 0 {
        return Err(Failure::usage("the settings name no port: give --server with that of the ready line"));
    }
    // All addresses are none to connect to.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(format!("http://{address}"))
}

#[derive(Deserialize)]
struct Readiness {
    status: String,
    reason: Option<String>,
}

fn check_response(server: &str, answer: &HttpDocument) -> Result<(), Failure> {
    let Ok(told) = serde_json::from_slice::<Readiness>(&answer.body) else {
        return Err(Failure::failed(format!("{server} answers {} to /readyz", answer.status.as_u16())));
    };
    if answer.status == StatusCode::OK && told.status == "ready" {
        return Ok(());
    }
    Err(Failure::failed(format!("{server} is not ready: {}", told.reason.unwrap_or(told.status))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Config {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()), std::iter::empty()).unwrap()
    }

    #[test]
    fn a_server_of_all_addresses_is_asked_at_loopback() {
        for (address, asked) in [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("0.0.0.0:8081", Some("http://127.0.0.1:8081")),
            ("[::]:8082", Some("http://[::1]:8082")),
            ("10.1.2.3:80", Some("http://10.1.2.3:80")),
            ("127.0.0.1:0", None),
        ] {
            let config = settings(&format!("[listener]\naddress = '{address}'"));
            assert_eq!(local(&config).ok().as_deref(), asked, "{address}");
        }
        let tls = settings("[tls]\ncertificate_file = 'a'\nkey_file = 'b'");
        assert!(matches!(local(&tls), Err(Failure::Usage(_))), "the certificate is for a name");
    }

    #[test]
    fn only_a_server_that_says_so_is_ready() {
        for (status, body, problem) in [
            (200, r#"{"status":"ready"}"#, None),
            (503, r#"{"status":"draining"}"#, Some("S is not ready: draining")),
            (503, r#"{"status":"unavailable","reason":"no disk"}"#, Some("S is not ready: no disk")),
            (503, r#"{"error":{"code":"serviceNotAvailable"}}"#, Some("S answers 503 to /readyz")),
            (200, "<html>", Some("S answers 200 to /readyz")),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = HttpDocument { status, content_type: None, body: body.into() };
            let judged = check_response("S", &answer).map_err(|failure| failure.to_string());
            assert_eq!(judged.err().as_deref(), problem, "{body}");
        }
    }
}
