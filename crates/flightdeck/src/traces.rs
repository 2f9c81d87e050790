//! Where traces go: to an OpenTelemetry collector, over HTTP, if one is named.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::global;
use opentelemetry_otlp::{Protocol, SpanExporter as Exporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

use crate::exit::{CONFIGURATION, Failure};

/// What a collector takes spans at.
const PATH: &str = "/v1/traces";

/// How it is meant.
const NEAR: &str =
    "name a collector on this machine, such as http://127.0.0.1:4318, which passes them on over TLS";
/// How often it is said that traces can't be sent.
const SAID: Duration = Duration::from_secs(60);

/// An exporter of which it is told that it fails; by itself it is silent.
#[derive(Debug)]
struct Watched {
    exporter: Exporter,
    said: Mutex<Option<Instant>>,
}

impl Watched {
    const fn of(exporter: Exporter) -> Self {
        Self { exporter, said: Mutex::new(None) }
    }
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.exporter.export(batch).await;
        if let Err(error) = &exported {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.is_none_or(|said| said.elapsed() >= SAID) {
                *said = Some(Instant::now());
                tracing::warn!(%error, "traces could not be sent");
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Traces on their way. What has not gone out yet does when this is ended.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send spans to that collector. How many are kept says `OTEL_TRACES_SAMPLER`, as everywhere.
    pub(crate) async fn begin(url: &str) -> Result<Self, Failure> {
        let is_one = reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if !is_one {
            // It is not repeated: it may have a password in it.
            let text = "traces go to a collector over HTTP, and what --traces says is no such URL";
            return Err(Failure::new(CONFIGURATION, text, NEAR));
        }
        let endpoint = match url.trim_end_matches('/') {
            url if url.ends_with(PATH) => url.to_owned(),
            url => format!("{url}{PATH}"),
        };
        let wrong = |error: &dyn std::fmt::Display| {
            let text = format!("can't send traces: {error}");
            Failure::new(CONFIGURATION, text, NEAR)
        };
        let built = tokio::task::spawn_blocking(move || {
            Exporter::builder().with_http().with_protocol(Protocol::HttpJson).with_endpoint(endpoint).build()
        });
        let exporter = built.await.map_err(|error| wrong(&error))?.map_err(|error| wrong(&error))?;
        let resource = Resource::builder().with_service_name("flightdeck").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Watched::of(exporter))
            .with_resource(resource)
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Self(provider))
    }

    /// Sends what has not gone out yet.
    pub(crate) async fn end(self) {
        match tokio::task::spawn_blocking(move || self.0.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces could not be sent"),
            Err(error) => tracing::warn!(%error, "the last traces could not be sent"),
        }
    }
}
