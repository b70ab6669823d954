//! The issuer's endpoints: discovery, keys, tokens.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Value, json};
use tokio::sync::SetOnce;

use super::form::Form;
use super::signing::{SigningKey, SigningKeyError};
use super::tokens::{EntraVersion, REFRESH_TYPE, TokenContext};
use crate::keys::KeySource;
use crate::verifier::IssuerSettings;

/// Seconds by which `nbf` precedes the time of issue, as in Entra's tokens, for clocks that are slow.
const NOT_BEFORE_SKEW: i64 = 300;
/// The client id of a request without one.
const UNNAMED_CLIENT: &str = "00000000-0000-0000-0000-000000000000";

/// A person of the sandbox data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxUser {
    /// `admin@contoso.example`; compared case-insensitively.
    pub user_name: String,
    /// In clear text: it is public.
    pub password: String,
    /// The person's object id, a GUID that never changes.
    pub oid: String,
    /// The tenant id, a lower-case GUID.
    pub tenant: String,
    /// For display.
    pub display_name: String,
    /// `ReferralAdmin`, `ReferralUser`, `GlobalAdmin`.
    pub roles: Vec<String>,
}

/// Options of the issuer.
#[derive(Debug, Clone)]
pub struct IssuerOptions {
    /// The server's public base URL, with or without a trailing slash.
    pub base_url: String,
    /// Lifetime of an access token, in seconds. Entra's is 3600.
    pub lifetime_seconds: i64,
    /// All persons. Their tenants are the tenants of the issuer.
    pub users: Vec<SandboxUser>,
}

/// The endpoints of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/{tenant}/.well-known/openid-configuration`
    DiscoveryV1,
    /// `/{tenant}/v2.0/.well-known/openid-configuration`
    DiscoveryV2,
    /// `/{tenant}/discovery/keys` and `/{tenant}/discovery/v2.0/keys`
    Keys,
    /// `/{tenant}/oauth2/token`
    TokenV1,
    /// `/{tenant}/oauth2/v2.0/token`
    TokenV2,
}

impl Endpoint {
    /// Returns the method: `GET` or `POST`.
    pub fn method(self) -> &'static str {
        match self {
            Self::DiscoveryV1 | Self::DiscoveryV2 | Self::Keys => "GET",
            Self::TokenV1 | Self::TokenV2 => "POST",
        }
    }
}

/// A parsed path of the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRequest {
    /// `common`, `organizations`, or a text that should be a tenant id.
    pub tenant: String,
    /// The requested endpoint.
    pub endpoint: Endpoint,
}

impl IssuerRequest {
    /// Parses a path; `None` if the issuer has no such path. The tenant may not exist.
    pub fn parse(path: &str) -> Option<Self> {
        let (tenant, place) = path.strip_prefix('/')?.split_once('/')?;
        let endpoint = match place {
            ".well-known/openid-configuration" => Endpoint::DiscoveryV1,
            "v2.0/.well-known/openid-configuration" => Endpoint::DiscoveryV2,
            "discovery/keys" | "discovery/v2.0/keys" => Endpoint::Keys,
            "oauth2/token" => Endpoint::TokenV1,
            "oauth2/v2.0/token" => Endpoint::TokenV2,
            _ => return None,
        };
        (!tenant.is_empty()).then(|| Self { tenant: tenant.to_owned(), endpoint })
    }
}

/// A response of the issuer: JSON, sent with `Cache-Control: no-store` from the token endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerResponse {
    /// 200, 400 or 500.
    pub status: u16,
    /// A JSON object.
    pub body: String,
}

/// The issuer of the sandbox. Its key may be set later; requests that need it wait for it.
#[derive(Debug)]
pub struct SandboxIssuer {
    base: String,
    lifetime: i64,
    users: Vec<SandboxUser>,
    key: SetOnce<SigningKey>,
    keys: Arc<KeySource>,
}

/// The tenant that a token request is for.
enum Tenant<'a> {
    /// The tenant of the person.
    Any,
    One(&'a str),
}

impl Tenant<'_> {
    fn admits(&self, tenant: &str) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => *one == tenant,
        }
    }
}

/// An error of a token endpoint: the code of RFC 6749, Entra's number, and a description.
struct OAuthError(&'static str, u32, String);

type TokenResult<T> = Result<T, OAuthError>;

impl SandboxIssuer {
    /// Creates an issuer without a key.
    pub fn new(options: IssuerOptions) -> Self {
        Self {
            base: options.base_url.trim_end_matches('/').to_owned(),
            lifetime: options.lifetime_seconds,
            users: options.users,
            key: SetOnce::new(),
            keys: Arc::new(KeySource::pending()),
        }
    }

    /// Sets the key of the issuer. A second key is ignored.
    pub fn set_key(&self, key: SigningKey) {
        if !self.key.initialized() {
            // The public key first: no token may exist that cannot be verified.
            self.keys.set(key.key_set());
            let _ = self.key.set(key);
        }
    }

    /// Returns the settings with which a verifier accepts this issuer's tokens, v1 and v2.
    pub fn verifier_issuers(&self, audiences: &[String]) -> Vec<IssuerSettings> {
        let names =
            [EntraVersion::V1, EntraVersion::V2].map(|version| version.issuer(&self.base, "{tenantid}"));
        names.map(|name| IssuerSettings::new(name, Arc::clone(&self.keys), audiences.to_vec())).into()
    }

    /// Responds to a request. `form` is the body of a POST, and `random` makes each token unique. Signing takes about a
    /// millisecond of CPU time.
    pub async fn respond(
        &self,
        request: &IssuerRequest,
        form: &[u8],
        now: i64,
        random: [u8; 16],
    ) -> IssuerResponse {
        let Some(tenant) = self.tenant(&request.tenant) else {
            return refused(&unknown_tenant(&request.tenant));
        };
        match request.endpoint {
            Endpoint::DiscoveryV1 => granted(&self.discovery(EntraVersion::V1, &request.tenant, &tenant)),
            Endpoint::DiscoveryV2 => granted(&self.discovery(EntraVersion::V2, &request.tenant, &tenant)),
            Endpoint::Keys => IssuerResponse { status: 200, body: self.key.wait().await.public_jwks() },
            Endpoint::TokenV1 => self.tokens(EntraVersion::V1, &tenant, form, now, random).await,
            Endpoint::TokenV2 => self.tokens(EntraVersion::V2, &tenant, form, now, random).await,
        }
    }

    fn tenant(&self, name: &str) -> Option<Tenant<'_>> {
        if matches!(name, "common" | "organizations") {
            return Some(Tenant::Any);
        }
        let user = self.users.iter().find(|user| user.tenant.eq_ignore_ascii_case(name));
        user.map(|user| Tenant::One(&user.tenant))
    }

    /// Source: OpenID Connect Discovery 1.0, section 3. The members are those of Entra's documents.
    fn discovery(&self, version: EntraVersion, name: &str, tenant: &Tenant<'_>) -> Value {
        let place = format!("{}/{name}", self.base);
        let tail = if version == EntraVersion::V2 { "v2.0/" } else { "" };
        let tid = match tenant {
            Tenant::Any => "{tenantid}",
            Tenant::One(tid) => tid,
        };
        json!({
            "issuer": version.issuer(&self.base, tid),
            "token_endpoint": format!("{place}/oauth2/{tail}token"),
            "jwks_uri": format!("{place}/discovery/{tail}keys"),
            "authorization_endpoint": format!("{place}/oauth2/{tail}authorize"),
            "device_authorization_endpoint": format!("{place}/oauth2/{tail}devicecode"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token", "code id_token"],
            "grant_types_supported": ["password", "refresh_token", "client_credentials"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "claims_supported": ["aud", "exp", "iat", "iss", "name", "nbf", "oid", "preferred_username", "roles",
                                 "scp", "sub", "tid", "upn", "ver"],
        })
    }

    async fn tokens(
        &self,
        version: EntraVersion,
        tenant: &Tenant<'_>,
        form: &[u8],
        now: i64,
        random: [u8; 16],
    ) -> IssuerResponse {
        let key = self.key.wait().await;
        match self.grant(version, tenant, form, now, random, key) {
            Ok(answer) => granted(&answer),
            Err(refusal) => refused(&refusal),
        }
    }

    fn grant(
        &self,
        version: EntraVersion,
        tenant: &Tenant<'_>,
        form: &[u8],
        now: i64,
        random: [u8; 16],
        key: &SigningKey,
    ) -> TokenResult<Value> {
        let form = Form::parse(form)
            .ok_or_else(|| bad_request(900_144, "the body is not a form, or names a parameter twice"))?;
        let request = TokenRequest::parse(version, &form);
        let client = form.get("client_id").unwrap_or(UNNAMED_CLIENT);
        let token = |tenant, audience| TokenContext {
            version,
            base: &self.base,
            tenant,
            client,
            audience,
            now,
            not_before: now.saturating_sub(NOT_BEFORE_SKEW),
            lifetime: self.lifetime,
            random,
        };
        match required(&form, "grant_type")? {
            "password" => {
                let user = self.authenticate_user(tenant, &form)?;
                user_answer(&token(&user.tenant, request.audience()?), user, &request, key)
            }
            "refresh_token" => {
                let (user, audience) =
                    self.refresh_token_owner(tenant, required(&form, "refresh_token")?, now)?;
                user_answer(
                    &token(&user.tenant, request.audience().unwrap_or(&audience)),
                    user,
                    &request,
                    key,
                )
            }
            "client_credentials" => match tenant {
                Tenant::Any => {
                    Err(bad_request(50_059, "an application's token needs a tenant id in the path"))
                }
                Tenant::One(tenant) => application_answer(&token(tenant, request.audience()?), key),
            },
            other => Err(OAuthError(
                "unsupported_grant_type",
                70_003,
                format!("the grant type {other:?} is not supported"),
            )),
        }
    }

    fn authenticate_user(&self, tenant: &Tenant<'_>, form: &Form) -> TokenResult<&SandboxUser> {
        let (name, password) = (required(form, "username")?, required(form, "password")?);
        let known = self.users.iter().find(|user| user.user_name.to_lowercase() == name.to_lowercase());
        let user = known.filter(|user| tenant.admits(&user.tenant));
        let user = user.ok_or_else(|| bad_grant(50_034, "there is no such user in this tenant"))?;
        verify_slices_are_equal(user.password.as_bytes(), password.as_bytes())
            .map_err(|_| bad_grant(50_126, "user name or password is wrong"))?;
        Ok(user)
    }

    /// Returns the person and the audience of a refresh token. The token is signed with our key, so nothing is stored.
    fn refresh_token_owner(
        &self,
        tenant: &Tenant<'_>,
        token: &str,
        now: i64,
    ) -> TokenResult<(&SandboxUser, String)> {
        let claims = self.key.get().and_then(|key| key.verify_own(REFRESH_TYPE, token));
        let claims = claims
            .ok_or_else(|| bad_grant(9_002_313, "the refresh token is malformed or not of this issuer"))?;
        if claims["exp"].as_i64().is_none_or(|exp| now >= exp) {
            return Err(bad_grant(70_008, "the refresh token has expired"));
        }
        let user = self.users.iter().find(|user| claims["oid"] == user.oid && claims["tid"] == user.tenant);
        let user = user.filter(|user| tenant.admits(&user.tenant));
        let user = user.ok_or_else(|| bad_grant(50_034, "there is no such user in this tenant"))?;
        Ok((user, claims["res"].as_str().unwrap_or_default().to_owned()))
    }
}

/// The parameters of a token request.
struct TokenRequest<'a> {
    version: EntraVersion,
    resource: Option<&'a str>,
    scopes: Vec<&'a str>,
}

impl<'a> TokenRequest<'a> {
    fn parse(version: EntraVersion, form: &'a Form) -> Self {
        let scopes =
            form.get("scope").unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()).collect();
        Self { version, resource: form.get("resource"), scopes }
    }

    /// v1 names the resource; v2 names scopes of it, such as `/.default`.
    fn audience(&self) -> TokenResult<&'a str> {
        match self.version {
            EntraVersion::V1 => self.resource.ok_or_else(|| missing("resource")),
            EntraVersion::V2 if self.scopes.is_empty() => Err(missing("scope")),
            EntraVersion::V2 => self.resource_scope().ok_or_else(|| {
                OAuthError("invalid_scope", 70_011, "scope names no API: add {resource}/.default".to_owned())
            }),
        }
    }

    fn resource_scope(&self) -> Option<&'a str> {
        let scope = self
            .scopes
            .iter()
            .find(|scope| !matches!(**scope, "openid" | "profile" | "email" | "offline_access"))?;
        let (resource, _) = scope.rsplit_once('/')?;
        // `https://host` is a resource without a scope.
        (!resource.is_empty() && !resource.ends_with(":/")).then_some(resource)
    }

    fn wants(&self, scope: &str) -> bool {
        self.scopes.contains(&scope)
    }
}

/// v1 writes its numbers as strings and always returns a refresh token. v2 writes numbers, and returns a refresh token
/// on request. Source: spec 3.1 and `examples/token.response.json`.
fn user_answer(
    token: &TokenContext<'_>,
    user: &SandboxUser,
    request: &TokenRequest<'_>,
    key: &SigningKey,
) -> TokenResult<Value> {
    let mut answer = bearer(token, "user_impersonation");
    answer["access_token"] = sign(key, "JWT", &token.user_token(user))?.into();
    if token.version == EntraVersion::V1 || request.wants("offline_access") {
        answer["refresh_token"] = sign(key, REFRESH_TYPE, &token.refresh_token(user))?.into();
    }
    if request.wants("openid") {
        answer["id_token"] = sign(key, "JWT", &token.id_token(user))?.into();
    }
    Ok(answer)
}

fn application_answer(token: &TokenContext<'_>, key: &SigningKey) -> TokenResult<Value> {
    let mut answer = bearer(token, "");
    if let Some(answer) = answer.as_object_mut() {
        answer.shift_remove("scope");
    }
    answer["access_token"] = sign(key, "JWT", &token.application_token())?.into();
    Ok(answer)
}

fn bearer(token: &TokenContext<'_>, scope: &str) -> Value {
    match token.version {
        EntraVersion::V1 => json!({
            "token_type": "Bearer",
            "scope": scope,
            "expires_in": token.lifetime.to_string(),
            "ext_expires_in": token.lifetime.to_string(),
            "expires_on": token.now.saturating_add(token.lifetime).to_string(),
            "not_before": token.not_before.to_string(),
            "resource": token.audience,
        }),
        EntraVersion::V2 => json!({
            "token_type": "Bearer",
            "scope": format!("{0}/{scope} {0}/.default", token.audience),
            "expires_in": token.lifetime,
            "ext_expires_in": token.lifetime,
        }),
    }
}

fn sign(key: &SigningKey, typ: &str, claims: &Value) -> TokenResult<String> {
    key.sign(typ, claims)
        .map_err(|error: SigningKeyError| OAuthError("server_error", 90_033, error.to_string()))
}

fn required<'a>(form: &'a Form, name: &str) -> TokenResult<&'a str> {
    form.get(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> OAuthError {
    OAuthError("invalid_request", 900_144, format!("the request body must contain the parameter '{name}'"))
}

fn unknown_tenant(name: &str) -> OAuthError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    OAuthError(
        "invalid_request",
        90_002,
        format!("tenant '{name}' not found: use common, organizations or a tenant id"),
    )
}

fn bad_request(number: u32, sentence: &str) -> OAuthError {
    OAuthError("invalid_request", number, sentence.to_owned())
}

fn bad_grant(number: u32, sentence: &str) -> OAuthError {
    OAuthError("invalid_grant", number, sentence.to_owned())
}

fn granted(body: &Value) -> IssuerResponse {
    IssuerResponse { status: 200, body: body.to_string() }
}

/// Source: RFC 6749, 5.2; number and description as in Entra's errors.
fn refused(OAuthError(code, number, sentence): &OAuthError) -> IssuerResponse {
    let body = json!({
        "error": code,
        "error_description": format!("AADSTS{number}: {sentence}"),
        "error_codes": [number],
    });
    IssuerResponse { status: if *code == "server_error" { 500 } else { 400 }, body: body.to_string() }
}
