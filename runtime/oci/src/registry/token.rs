//! Docker's token service: a registry says where to get a token, and anyone may get one for public images.

use serde::Deserialize;

use super::error::RegistryError;
use super::http::{Http, Request, is_loopback, origin};
use crate::Reference;

/// What a registry asks for: the parts of a `WWW-Authenticate: Bearer` header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

/// The token service's answer; which of the two is there differs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge {
    /// None where it asks for something else than a token.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut challenge = Self::default();
        while let Some((key, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            match key.trim_matches([',', ' ']).to_ascii_lowercase().as_str() {
                "realm" => value.clone_into(&mut challenge.realm),
                "service" => challenge.service = Some(value.to_owned()),
                "scope" => challenge.scope = Some(value.to_owned()),
                _ => {}
            }
            rest = after;
        }
        (!challenge.realm.is_empty()).then_some(challenge)
    }

    /// Gets a token as nobody in particular.
    pub(super) fn answer(&self, http: &Http, base: &str, reference: &Reference) -> Result<String, RegistryError> {
        let host = origin(&self.realm);
        let is_near = host.strip_prefix("http://").is_some_and(is_loopback);
        if !host.starts_with("https://") && !is_near {
            return Err(RegistryError::Insecure { registry: base.to_owned(), to: self.realm.clone() });
        }
        let scope = self.scope.clone().unwrap_or_else(|| format!("repository:{}:pull", reference.repository));
        let separator = if self.realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{}{separator}scope={}", self.realm, escape(&scope));
        if let Some(service) = &self.service {
            url = format!("{url}&service={}", escape(service));
        }
        let response = http.send(&Request { url, headers: Vec::new() })?;
        let denied = || RegistryError::Denied { registry: base.to_owned(), reference: reference.familiar() };
        match response.status {
            200 => {}
            400..=499 => return Err(denied()),
            status => return Err(RegistryError::Refused { registry: host, status, message: None }),
        }
        let garbage = || RegistryError::Garbage { registry: host.clone(), why: "it sends no token".to_owned() };
        let bytes = response.bytes(http, 1 << 20)?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| garbage())?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty()).ok_or_else(garbage)?;
        // It becomes a header's value.
        if token.bytes().all(|b| b.is_ascii_graphic()) { Ok(token) } else { Err(garbage()) }
    }
}

/// Escapes all but what is safe anywhere in a query; registries expect `:` and `/` of scopes as they are.
fn escape(text: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/,".contains(&b);
    text.bytes().map(|b| if safe(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
