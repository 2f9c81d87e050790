//! A server that asks who is who, with what is there to be asked for, and the credentials of everyone there is.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flightdeck_core::{Clock as _, Ids as _};
use flightdeck_store::system::{SystemClock, SystemIds};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{Answer, Kind, Site, send};
use crate::doors::flightdeck;
use crate::postgres::Place;

/// A server that asks who is who, the administrator's token, and the key of the issuer that it trusts.
pub(super) struct Guarded {
    pub(super) site: Site,
    pub(super) admin: String,
    pub(super) key: EcdsaKeyPair,
    _folder: tempfile::TempDir,
}

pub(super) const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "flightdeck";

/// A JWT, signed by that function.
pub(super) fn jwt(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signed = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed))
}

pub(super) fn in_seconds(seconds: i64) -> i64 {
    SystemClock.now().micros() / 1_000_000 + seconds
}

impl Guarded {
    pub(super) fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    pub(super) fn start_with(kind: Kind, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "one", "x": x, "y": y }] });
        let file = folder.path().join("keys.json");
        std::fs::write(&file, keys.to_string()).unwrap();
        let store = match kind {
            Kind::Sqlite => format!("sqlite:{}", folder.path().join("store.db").display()),
            Kind::Postgres => Place::new().url(),
        };
        // Whoever has the store makes the first token.
        let made = Command::new(flightdeck())
            .args(["token", "create", "first", "--scope", "admin", "--json", "--store", &store])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let admin = made["secret"].as_str().unwrap().to_owned();
        let file = file.display().to_string();
        let arguments = [
            "--auth",
            "jwt",
            "--jwt-keys",
            &file,
            "--jwt-algorithm",
            "ES256",
            "--jwt-issuer",
            ISSUER,
            "--jwt-audience",
            AUDIENCE,
        ];
        let site = Site::run(&store, tempfile::tempdir().unwrap(), &[&arguments, more].concat());
        Self { site, admin, key, _folder: folder }
    }

    pub(super) async fn ask(&self, who: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut request = self.site.request(method, path);
        if !who.is_empty() {
            request = request.bearer_auth(who);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        send(request).await
    }

    pub(super) async fn make(&self, path: &str, body: &Value) -> Answer {
        self.ask(&self.admin, "POST", path, &body.to_string()).await.is(201)
    }

    pub(super) async fn token(&self, new: &Value) -> (String, String) {
        let made = self.make("/api/admin/tokens", new).await.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["secret"]), text(&made["token"]["id"]))
    }

    pub(super) fn signed(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": "one" });
        jwt(&header, claims, |message| {
            self.key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        })
    }

    pub(super) fn claims(sub: &str) -> Value {
        json!({ "sub": sub, "iss": ISSUER, "aud": AUDIENCE, "exp": in_seconds(600) })
    }

    pub(super) async fn content(&self, body: &Value) -> String {
        let made = self.make("/api/content", body).await.json();
        made["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn presentation(&self, is_public: bool) -> String {
        let new = json!({ "title": "A", "author": "A", "theme": "plain", "isPublic": is_public });
        self.make("/api/presentations", &new).await.json()["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn slide(&self, of: &str) -> String {
        let new = json!({ "content": { "type": "text", "text": "seen" }, "notes": "unseen" });
        let made = self.make(&format!("/api/presentations/{of}/slides"), &new).await.json();
        made["id"].as_str().unwrap().to_owned()
    }
}

/// What is there to be asked for.
pub(super) struct There {
    pub(super) draft: String,
    pub(super) published: String,
    pub(super) private: String,
    pub(super) public: String,
    pub(super) slide: String,
    pub(super) user: String,
    pub(super) visitor: String,
}

impl There {
    pub(super) async fn made(on: &Guarded) -> Self {
        let draft = on
            .content(&json!({ "title": "Unseen", "content": "unseen", "author": "A", "slug": "secret" }))
            .await;
        let published =
            on.content(&json!({ "title": "Seen", "content": "seen", "author": "A", "slug": "seen" })).await;
        on.ask(&on.admin, "POST", &format!("/api/content/{published}/publish"), "").await.is(200);
        let (private, public) = (on.presentation(false).await, on.presentation(true).await);
        let slide = on.slide(&public).await;
        let user = json!({ "email": "ada@example.org", "displayName": "Ada" });
        let user = on.make("/api/users", &user).await.json()["id"].as_str().unwrap().to_owned();
        for (stream, tag) in [("order-1", "customer:7"), ("other-1", "customer:7"), ("other-2", "customer:8")]
        {
            let body = json!({ "events": [{ "eventType": "Ordered", "data": stream, "tags": [tag] }] });
            on.make(&format!("/api/streams/{stream}/events"), &body).await;
        }
        let fact = r#"{"type":"PageViewed","pageId":"/"}"#;
        let recorded = on.ask("", "POST", "/api/events", fact).await.is(202);
        let cookie = recorded.header("set-cookie").unwrap().to_owned();
        let visitor = cookie.split(['=', '.']).nth(1).unwrap().to_owned();
        Self { draft, published, private, public, slide, user, visitor }
    }

    /// A path or a body, with what is there, or is made, in its places.
    pub(super) async fn filled(&self, text: &str, on: &Guarded) -> String {
        let mut text = text.to_owned();
        for (place, id) in [
            ("{draft}", &self.draft),
            ("{published}", &self.published),
            ("{private}", &self.private),
            ("{public}", &self.public),
            ("{slide}", &self.slide),
            ("{user}", &self.user),
            ("{visitor}", &self.visitor),
        ] {
            text = text.replace(place, id);
        }
        if text.contains("{new content}") {
            let new = json!({ "title": "New", "content": "new", "author": "A" });
            text = text.replace("{new content}", &on.content(&new).await);
        }
        if text.contains("{new presentation}") {
            text = text.replace("{new presentation}", &on.presentation(false).await);
        }
        if text.contains("{new slide}") {
            text = text.replace("{new slide}", &on.slide(&self.public).await);
        }
        if text.contains("{new token}") {
            text = text
                .replace("{new token}", &on.token(&json!({ "name": "A", "scopes": ["capture"] })).await.1);
        }
        text.replace("{new address}", &format!("{:x}@example.org", SystemIds::default().random()))
    }
}

/// The credentials of every column, good ones and then those that are none.
pub(super) async fn credentials(on: &Guarded) -> [Vec<String>; 2] {
    let token = async |new: Value| on.token(&new).await.0;
    let other = token(
        json!({ "name": "other", "scopes": ["read", "write"], "reads": ["other-*"], "writes": ["other-*"] }),
    );
    let reader = token(json!({ "name": "reader", "scopes": ["read", "capture"], "reads": ["*"] }));
    let writer = token(
        json!({ "name": "writer", "scopes": ["read", "write", "capture"], "reads": ["*"], "writes": ["*"] }),
    );
    let good = vec![String::new(), other.await, reader.await, writer.await, on.admin.clone()];

    let expired =
        token(json!({ "name": "expired", "scopes": ["admin"], "expiresAt": "2026-01-01T00:00:00Z" })).await;
    let wrong_audience = json!({ "sub": "ada", "iss": ISSUER, "aud": "another", "exp": in_seconds(600) });
    // What is public is taken for a secret by whoever lets a token say how it is to be checked.
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, on.key.public_key().as_ref());
    let swapped = jwt(&json!({ "alg": "HS256", "kid": "one" }), &Guarded::claims("ada"), |message| {
        ring::hmac::sign(&secret, message).as_ref().to_vec()
    });
    let (revoked, id) = on.token(&json!({ "name": "revoked", "scopes": ["admin"] })).await;
    on.ask(&revoked, "GET", "/api/admin/store", "").await.is(200);
    on.ask(&on.admin, "DELETE", &format!("/api/admin/tokens/{id}"), "").await.is(204);
    until_refused(on, &revoked).await;
    [good, vec![expired, on.signed(&wrong_audience), swapped, revoked]]
}

/// Waits until a credential is none any more: within a second.
async fn until_refused(on: &Guarded, who: &str) {
    let begun = Instant::now();
    while on.ask(who, "GET", "/api/streams", "").await.status != 401 {
        assert!(begun.elapsed() < Duration::from_secs(1), "it is good for too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
