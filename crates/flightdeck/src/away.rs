//! A server somewhere: where it is, who asks, and a connection to it, with TLS or without.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use flightdeck_core::Cursor;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::exit::{CONFIGURATION, Failure, UNREACHABLE};

/// Where a token is looked for that is not said: on a command line everybody on the machine can read it.
const TOKEN: &str = "FLIGHTDECK_TOKEN";
/// How long it may take until there is a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take until an answer begins.
const ANSWER: Duration = Duration::from_secs(45);

#[derive(Args)]
pub(crate) struct Arguments {
    /// Follow a server, wherever it is, in place of the store: http://… or https://…
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The token that is shown to it; better said in the environment, where others do not see it  (FLIGHTDECK_TOKEN)
    #[arg(long, requires = "url")]
    token: Option<String>,
    /// The authorities that its certificate may be of, in place of those that browsers trust: a PEM
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

impl Arguments {
    /// The server, if one is named.
    pub(crate) fn server(&self) -> Result<Option<Server>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        let url = url_of(url)?;
        let tls = match url.scheme() {
            "https" => Some(tls(self.ca.as_deref())?),
            _ => None,
        };
        let token = match (&self.token, std::env::var(TOKEN)) {
            (Some(token), _) => Some(token.clone()),
            (None, Err(std::env::VarError::NotUnicode(_))) => {
                return Err(Failure::setting(format!("{TOKEN} is not UTF-8")));
            }
            (None, found) => found.ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let bearer = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"));
            if let Ok(value) = &mut value {
                value.set_sensitive(true);
            }
            // It is not repeated.
            value.map_err(|_| Failure::usage("the token has characters that none has".to_owned()))
        });
        Ok(Some(Server { url, tls, bearer: bearer.transpose()? }))
    }
}

/// A URL of a server, as a person gives it. What is wrong with it is told without it: it may have a password in it.
fn url_of(text: &str) -> Result<Url, Failure> {
    let wrong = |what: &str| Failure::usage(format!("--url {what}"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        _ => return Err(wrong("is no URL of a server; write http://HOST:PORT or https://HOST")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(&format!("has a credential in it; say it with {TOKEN}")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("says more than where the server is; leave out what stands behind ? or #"));
    }
    Ok(url)
}

/// TLS as it should be: certificates are checked, against those in the file or those that browsers trust.
fn tls(authorities: Option<&Path>) -> Result<TlsConnector, Failure> {
    let mut store = RootCertStore::empty();
    match authorities {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unread = |error: &dyn std::fmt::Display| {
                let text = format!("can't read authorities from {}: {error}", path.display());
                Failure::new(CONFIGURATION, text, "name a PEM of their certificates")
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))? {
                store.add(certificate.map_err(|error| unread(&error))?).map_err(|error| unread(&error))?;
            }
            if store.is_empty() {
                return Err(unread(&"there is none in it"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::of(CONFIGURATION, &error, "install a flightdeck that was built well"))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Where a server is, and who asks it.
pub(crate) struct Server {
    url: Url,
    tls: Option<TlsConnector>,
    bearer: Option<HeaderValue>,
}

/// Something that a server is asked for.
pub(crate) struct Asked {
    server: Server,
    /// Path and query.
    target: String,
}

impl Server {
    /// What stands at a path of it.
    pub(crate) fn asked(self, path: &str, params: &[(&str, String)]) -> Asked {
        let mut url = self.url.clone();
        // Behind a proxy it may be at a path of its own.
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(params);
        let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        Asked { server: self, target }
    }

    /// Its host, as a resolver takes it.
    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Its host and port, as it is asked for itself.
    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn unreached(&self, why: &dyn std::fmt::Display) -> Failure {
        let text = format!("{}://{} can't be reached: {why}", self.url.scheme(), self.authority());
        Failure::new(UNREACHABLE, text, "look whether the server runs, and whether the URL is right")
    }

    async fn connect(&self) -> Result<http1::SendRequest<Empty<Bytes>>, Failure> {
        let port = self.url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((self.host(), port)).await.map_err(|error| self.unreached(&error))?;
        match &self.tls {
            None => self.begin(TokioIo::new(stream)).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host().to_owned());
                let name = name.map_err(|error| self.unreached(&error))?;
                let stream = tls.connect(name, stream).await.map_err(|error| self.unreached(&error))?;
                self.begin(TokioIo::new(stream)).await
            }
        }
    }

    async fn begin(
        &self,
        stream: impl Read + Write + Send + Unpin + 'static,
    ) -> Result<http1::SendRequest<Empty<Bytes>>, Failure> {
        let (sender, connection) = http1::handshake(stream).await.map_err(|error| self.unreached(&error))?;
        // It ends with the answer; how it does is told to whoever reads that.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Asked {
    /// Where it is asked for, to be shown.
    pub(crate) fn place(&self) -> String {
        format!("{}://{}", self.server.url.scheme(), self.server.authority())
    }

    /// Whether the server is shown who asks.
    pub(crate) const fn shows_token(&self) -> bool {
        self.server.bearer.is_some()
    }

    /// It could not be had, for now.
    pub(crate) fn unreached(&self, why: &dyn std::fmt::Display) -> Failure {
        self.server.unreached(why)
    }

    /// Asks for it in that representation, from behind a cursor, on a connection of its own.
    pub(crate) async fn get(
        &self,
        accept: &'static str,
        last: Option<&Cursor>,
    ) -> Result<Response<Incoming>, Failure> {
        let server = &self.server;
        let mut request = Request::get(&self.target)
            .header(HOST, server.authority())
            .header(USER_AGENT, concat!("flightdeck/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, accept);
        if let Some(bearer) = &server.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let request =
            request.body(Empty::new()).map_err(|error| Failure::usage(format!("--url: {error}")))?;
        let late = |_| server.unreached(&"it does not answer");
        let mut sender = timeout(CONNECT, server.connect()).await.map_err(late)??;
        let answer = timeout(ANSWER, sender.send_request(request)).await.map_err(late)?;
        answer.map_err(|error| server.unreached(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, url_of};

    fn asked(url: &str) -> (String, String) {
        let arguments = Arguments { url: Some(url.to_owned()), token: Some("t".to_owned()), ca: None };
        let server = arguments.server().unwrap().unwrap();
        let asked =
            server.asked("/api/events", &[("tags", "a:b c,d:&e".to_owned()), ("after", "0".to_owned())]);
        (asked.place(), asked.target)
    }

    #[test]
    fn a_server_may_be_at_a_path_of_its_own() {
        let query = "tags=a%3Ab+c%2Cd%3A%26e&after=0";
        for (url, place, path) in [
            ("http://127.0.0.1:4600", "http://127.0.0.1:4600", "/api/events"),
            ("http://[::1]:4600/", "http://[::1]:4600", "/api/events"),
            ("https://example.org/deck/", "https://example.org", "/deck/api/events"),
        ] {
            assert_eq!(asked(url), (place.to_owned(), format!("{path}?{query}")));
        }
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused_and_not_repeated() {
        for url in [
            "canary",
            "ftp://canary",
            "http://me:canary@host",
            "http://host/?token=canary",
            "http://host/#canary",
            "sqlite:canary",
        ] {
            let refused = url_of(url).unwrap_err();
            assert!(!refused.text().contains("canary"), "{}", refused.text());
        }
    }
}
