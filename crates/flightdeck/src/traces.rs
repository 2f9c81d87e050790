//! Where traces go: to an OpenTelemetry collector, over HTTP, if one is named.

use opentelemetry::global;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::exit::{CONFIGURATION, Failure};

/// What a collector takes spans at.
const PATH: &str = "/v1/traces";

/// Traces on their way. What has not gone out yet does when this is ended.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send spans to that collector. How many are kept says `OTEL_TRACES_SAMPLER`, as everywhere.
    pub(crate) async fn begin(url: &str) -> Result<Self, Failure> {
        let endpoint = match url.trim_end_matches('/') {
            url if url.ends_with(PATH) => url.to_owned(),
            url => format!("{url}{PATH}"),
        };
        let wrong = |error: &dyn std::fmt::Display| {
            let text = format!("can't send traces: {error}");
            Failure::new(CONFIGURATION, text, "name a collector with --traces, such as http://127.0.0.1:4318")
        };
        let built = tokio::task::spawn_blocking(move || {
            SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpJson)
                .with_endpoint(endpoint)
                .build()
        });
        let exporter = built.await.map_err(|error| wrong(&error))?.map_err(|error| wrong(&error))?;
        let resource = Resource::builder().with_service_name("flightdeck").build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
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
