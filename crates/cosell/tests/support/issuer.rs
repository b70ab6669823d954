//! An OpenID issuer in a test's hands: keys, tokens, and a small provider on loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, 2048 bits.
    Rs256,
    /// ECDSA on P-256.
    Es256,
}

/// One key of each kind.
pub struct Keys {
    rsa: KeyPair,
    ec: EcdsaKeyPair,
}

impl Keys {
    /// Fresh keys.
    pub fn new() -> Keys {
        Keys {
            rsa: KeyPair::generate(KeySize::Rsa2048).expect("a key can be made"),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key can be made"),
        }
    }

    /// The public halves, as issuers publish them.
    pub fn set(&self) -> Value {
        // RSAPublicKey of a 2048-bit key: 30 82 xx xx 02 82 01 01 00 <256 bytes> 02 03 01 00 01.
        let der = self.rsa.public_key().as_ref();
        assert_eq!((der.len(), &der[265..]), (270, &[2, 3, 1, 0, 1][..]));
        let n = BASE64.encode(&der[9..265]);
        let point = self.ec.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({ "keys": [
            { "kty": "RSA", "use": "sig", "kid": "rsa", "n": n, "e": "AQAB" },
            { "kty": "EC", "crv": "P-256", "use": "sig", "kid": "ec", "x": x, "y": y },
        ]})
    }

    /// A token of these claims.
    pub fn token(&self, algorithm: Algorithm, claims: &Value) -> String {
        let header = match algorithm {
            Algorithm::Rs256 => json!({ "alg": "RS256", "typ": "JWT", "kid": "rsa" }),
            Algorithm::Es256 => json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ec" }),
        };
        let input = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match algorithm {
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                let signed = self.rsa.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature);
                signed.expect("the buffer is as long as the modulus");
                signature
            }
            Algorithm::Es256 => {
                self.ec.sign(&random, input.as_bytes()).expect("a P-256 key signs").as_ref().to_vec()
            }
        };
        format!("{input}.{}", BASE64.encode(signature))
    }
}

/// The machine's time, in Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the server under test reads the same clock")]
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is past 1970").as_secs()
}

/// A provider that serves its configuration and its keys. Dropping it stops it.
pub struct Provider {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// Begins to serve; `named` is what it says its issuer is, `None` for its own address.
    pub fn start(keys: Value, named: Option<&str>) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let issuer = named.map_or_else(|| format!("http://{address}"), str::to_owned);
        let configuration =
            json!({ "issuer": issuer, "jwks_uri": format!("http://{address}/keys") }).to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let _ = answer(stream, &configuration, &keys.to_string());
            }
        });
        Provider { address, stop, thread: Some(thread) }
    }

    /// Its base address, which is its issuer's name too.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the accept
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, configuration: &str, keys: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(super::PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let body = match request.split(' ').nth(1) {
        Some("/.well-known/openid-configuration") => configuration,
        Some("/keys") => keys,
        _ => {
            return write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
