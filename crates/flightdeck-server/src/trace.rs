//! What a request was part of and what it did, for OpenTelemetry: a span for the request, and one for each thing of the store's that it waited for.
//!
//! Spans go to whatever tracer provider the program has set for all; this crate knows the API alone. Nothing is made of them unless
//! [`Options::traces`](crate::Options) asks for it. No span has a query, a body, or who asked; of headers it has what
//! the request belongs to.

use std::borrow::Cow;

use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use flightdeck_core::Reference;
use opentelemetry::trace::{
    FutureExt as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, global};

use crate::measure::word_of;

/// By what the spans of this crate are known.
const NAME: &str = "flightdeck";

/// What `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent<'t> {
    pub(crate) trace: &'t str,
    span: &'t str,
    flags: u8,
}

impl<'t> Parent<'t> {
    /// Reads a `traceparent` of W3C's; `None` when it says none.
    pub(crate) fn read(text: &'t str) -> Option<Self> {
        let hex =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
        let is_some = |id: &str| id.bytes().any(|byte| byte != b'0');
        let fits = lengths && [version, trace, span, flags].into_iter().all(hex) && version != "ff";
        // Of a version that is not known yet, more may follow.
        let fits = fits && is_some(trace) && is_some(span) && (version != "00" || parts.next().is_none());
        fits.then_some(Self { trace, span, flags: u8::from_str_radix(flags, 16).ok()? })
    }

    fn context(&self) -> Context {
        let (Ok(trace), Ok(span)) = (TraceId::from_hex(self.trace), SpanId::from_hex(self.span)) else {
            return Context::new();
        };
        let flags = TraceFlags::new(self.flags);
        Context::new().with_remote_span_context(SpanContext::new(
            trace,
            span,
            flags,
            true,
            TraceState::default(),
        ))
    }
}

/// The span of a request, while it is answered.
pub(crate) struct Requested(Context);

impl Requested {
    /// Begins it.
    pub(crate) fn begin(request: &ServiceRequest, correlation: &Reference) -> Self {
        let headers = request.headers();
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(Parent::read);
        let parent = parent.map_or_else(Context::new, |parent| parent.context());
        let tracer = global::tracer(NAME);
        let method = word_of(request.method());
        let span = tracer.span_builder(method).with_kind(SpanKind::Server).with_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("flightdeck.correlation_id", correlation.as_str().to_owned()),
        ]);
        let span = span.start_with_context(&tracer, &parent);
        Self(parent.with_span(span))
    }

    /// What is done for it is part of it.
    pub(crate) fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.0.clone())
    }

    /// It is answered.
    pub(crate) fn end(self, method: &str, route: Option<String>, status: StatusCode) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Some(route) = route {
            span.update_name(format!("{method} {route}"));
            span.set_attribute(KeyValue::new("http.route", route));
        }
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Waits for something as a part of what is done just now, if anybody wants to know.
pub(crate) async fn part<F: Future>(name: &'static str, work: F) -> F::Output {
    let current = Context::current();
    if !current.span().span_context().is_valid() {
        return work.await;
    }
    let tracer = global::tracer(NAME);
    let span = tracer.span_builder(Cow::from(name)).start_with_context(&tracer, &current);
    let context = current.with_span(span);
    let done = work.with_context(context.clone()).await;
    context.span().end();
    done
}

#[cfg(test)]
mod tests {
    use super::Parent;

    #[test]
    fn a_trace_is_known_by_its_parent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let read = |text: &str| Parent::read(text).map(|parent| (parent.trace.to_owned(), parent.flags));
        assert_eq!(read(&format!("00-{trace}-00f067aa0ba902b7-01")), Some((trace.to_owned(), 1)));
        assert_eq!(read(&format!("01-{trace}-00f067aa0ba902b7-00-what-comes")), Some((trace.to_owned(), 0)));
        for bad in [
            String::new(),
            format!("00-{trace}-00f067aa0ba902b7"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }
}
