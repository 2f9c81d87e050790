//! What is measured while the server runs, for `/metrics`: requests, appends, connections, how far the log and its views are.
//!
//! A dozen series in the text format of Prometheus, without the crates that are made for hundreds: they bring some twenty others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use flightdeck_core::Position;
use flightdeck_store::Appended;
use flightdeck_store::groups::{DURATIONS, Histogram};
use flightdeck_store::view::answering;
use tokio::time::timeout;

use crate::caps::Cap;
use crate::host::{Host, StoreFacts};
use crate::push::Counted;
use crate::push::seat::{Told, Transport};

/// The format of what `/metrics` answers.
pub(crate) const FORMAT: &str = "text/plain";

/// How long is waited for what the store says of itself.
const FACTS_WAIT: Duration = Duration::from_secs(1);

/// What was measured.
#[derive(Debug, Default)]
pub struct Measured {
    routes: RwLock<BTreeMap<(String, &'static str), Arc<Route>>>,
    appends: AtomicU64,
    events: AtomicU64,
}

/// What was measured of a route and a method.
#[derive(Debug)]
struct Route {
    /// Answers by their status: from 100 on, and the last for whatever is no status.
    statuses: RwLock<BTreeMap<u16, AtomicU64>>,
    /// Answers by how long they took, in microseconds.
    took: Histogram,
}

impl Default for Route {
    fn default() -> Self {
        Self { statuses: RwLock::default(), took: Histogram::of(DURATIONS) }
    }
}

impl Measured {
    fn answered(&self, route: String, method: &'static str, status: u16, took: Duration) {
        let key = (route, method);
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let of = known.unwrap_or_else(|| {
            Arc::clone(self.routes.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
        });
        of.took.took(took);
        if let Some(count) = of.statuses.read().unwrap_or_else(PoisonError::into_inner).get(&status) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut statuses = of.statuses.write().unwrap_or_else(PoisonError::into_inner);
        statuses.entry(status).or_default().fetch_add(1, Ordering::Relaxed);
    }

    /// An append is answered.
    pub(crate) fn appended(&self, appended: &Appended) {
        if let (Some((from, to)), false) = (appended.range, appended.duplicate) {
            self.appends.fetch_add(1, Ordering::Relaxed);
            let events = u64::try_from(to.get() - from.get() + 1).unwrap_or(0);
            self.events.fetch_add(events, Ordering::Relaxed);
        }
    }
}

/// Measures a request.
pub(crate) async fn measure<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let (begun, method) = (Instant::now(), word_of(request.method()));
    let host = request.app_data::<Data<Host>>().cloned();
    let answer = next.call(request).await?;
    if let Some(host) = host {
        // Whoever thinks up paths makes no new series.
        let route = answer.request().match_pattern().unwrap_or_else(|| "none".to_owned());
        host.measured.answered(route, method, answer.status().as_u16(), begun.elapsed());
        if let Some(cap) = answer.response().extensions().get::<Cap>() {
            host.met.note(*cap);
        }
    }
    Ok(answer)
}

/// A method as a label: nor does whoever thinks up methods.
pub(crate) const fn word_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A text in the format of Prometheus, family by family.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        // A text takes whatever is written to it.
        let _always = writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _always = writeln!(self.0, "{name}{labels} {value}");
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        of: &Histogram,
        told: impl Fn(u64) -> String,
    ) {
        let mut count = 0;
        for (most, up_to) in of.up_to() {
            let most = most.map_or_else(|| "+Inf".to_owned(), &told);
            let labels: Vec<_> = labels.iter().copied().chain([("le", most.as_str())]).collect();
            self.value(&format!("{name}_bucket"), &labels, up_to);
            count = up_to;
        }
        self.value(&format!("{name}_sum"), labels, told(of.sum()));
        self.value(&format!("{name}_count"), labels, count);
    }

    fn one(&mut self, name: &str, kind: &str, about: &str, value: impl std::fmt::Display) {
        self.family(name, kind, about);
        self.value(name, &[], value);
    }
}

/// All that was measured, and how things stand.
pub(crate) async fn answer(host: &Host) -> HttpResponse {
    let mut text = Text::default();
    text.family("flightdeck_build_info", "gauge", "1, with the version of the program.");
    text.value("flightdeck_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let uptime = host.begun.elapsed().as_secs_f64();
    text.one("flightdeck_uptime_seconds", "gauge", "How long the server runs.", uptime);
    let (open, accepted) = host.connections.count();
    text.one("flightdeck_connections_open", "gauge", "Connections that are open.", open);
    text.one("flightdeck_connections_accepted_total", "counter", "Connections that there were.", accepted);
    requests(&host.measured, &mut text);
    let appends = host.measured.appends.load(Ordering::Relaxed);
    let about = "Appends that were answered with success, without repetitions.";
    text.one("flightdeck_http_appends_total", "counter", about, appends);
    let events = host.measured.events.load(Ordering::Relaxed);
    text.one("flightdeck_http_appended_events_total", "counter", "Events of these appends.", events);
    log_and_views(host, &mut text);
    // Of a store that does not answer in time everything else is told all the same.
    if let Some(ask) = &host.store_facts
        && let Ok(Ok(facts)) = timeout(FACTS_WAIT, ask()).await
    {
        store(&facts, &mut text);
    }
    pushed(host, &mut text);
    limits(host, &mut text);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text.0)
}

fn requests(measured: &Measured, text: &mut Text) {
    let routes = measured.routes.read().unwrap_or_else(PoisonError::into_inner);
    let name = "flightdeck_http_requests_total";
    text.family(name, "counter", "Requests that were answered, by route, method and status.");
    for ((route, method), of) in routes.iter() {
        for (status, count) in of.statuses.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = [("route", route.as_str()), ("method", method), ("status", &status.to_string())];
            text.value(name, &labels, count.load(Ordering::Relaxed));
        }
    }
    let name = "flightdeck_http_request_duration_seconds";
    text.family(name, "histogram", "How long it took until the head of an answer went out.");
    for ((route, method), of) in routes.iter() {
        let labels = [("route", route.as_str()), ("method", *method)];
        text.histogram(name, &labels, &of.took, seconds);
    }
}

/// How the writer commits, and what the store takes on the disk.
fn store(facts: &StoreFacts, text: &mut Text) {
    if let Some(groups) = &facts.groups {
        let (sizes, times) = ("flightdeck_commit_appends", "flightdeck_commit_duration_seconds");
        text.family(sizes, "histogram", "Appends that were committed together.");
        text.histogram(sizes, &[], &groups.appends, |appends| appends.to_string());
        text.family(times, "histogram", "How long such a commit took until it was on the disk; of PostgreSQL, the call that appends and commits.");
        text.histogram(times, &[], &groups.commits, seconds);
    }
    if let Some(bytes) = facts.size_bytes {
        text.one("flightdeck_store_bytes", "gauge", "What the store takes on the disk.", bytes);
    }
    if let Some(bytes) = facts.wal_bytes {
        text.one("flightdeck_store_wal_bytes", "gauge", "What its write-ahead log takes.", bytes);
    }
}

/// How those who follow the log get it.
fn pushed(host: &Host, text: &mut Text) {
    let Counted { delivered, fell_behind, reads } = &host.push.counted;
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    text.one(
        "flightdeck_followers",
        "gauge",
        "Those who follow the log just now.",
        host.push.ring.following(),
    );
    connections(host, text);
    text.one(
        "flightdeck_delivered_events_total",
        "counter",
        "Events that were handed to them.",
        of(delivered),
    );
    let about = "How often one was too slow for what is held of the log, and went on from the log itself.";
    text.one("flightdeck_fell_behind_total", "counter", about, of(fell_behind));
    let about = "Reads of the log, for those who are behind what is held of it.";
    text.one("flightdeck_catch_up_reads_total", "counter", about, of(reads));
    text.one("flightdeck_ring_bytes", "gauge", "What is held of the log, about.", host.push.ring.bytes());
}

/// By what connections follow the log, from where each is handed what comes next, and how far it is behind.
fn connections(host: &Host, text: &mut Text) {
    let head = host.push.ring.head().map_or(Position::START, |head| head.position());
    let all = host.connections.followers();
    let (name, lag) = ("flightdeck_following_connections", "flightdeck_follower_lag_events");
    text.family(name, "gauge", "Connections by which somebody follows the log.");
    for transport in Transport::ALL {
        for (mode, is_live) in [("live", true), ("catch-up", false)] {
            let is_one = |told: &&Arc<Told>| told.transport == transport && told.is_live() == is_live;
            let labels = [("by", transport.as_str()), ("mode", mode)];
            text.value(name, &labels, all.iter().filter(is_one).count());
        }
    }
    let mut lags: Vec<i64> = all.iter().map(|told| told.lag(head)).collect();
    lags.sort_unstable();
    text.family(
        lag,
        "gauge",
        "How many events they are behind the head: the one in the middle, and the last.",
    );
    for (place, at) in [("0.5", lags.len() / 2), ("1", lags.len().saturating_sub(1))] {
        text.value(lag, &[("quantile", place)], lags.get(at).copied().unwrap_or(0));
    }
}

/// What each limit is, and how often it was met.
fn limits(host: &Host, text: &mut Text) {
    let (value, met) = ("flightdeck_limit", "flightdeck_limit_met_total");
    text.family(value, "gauge", "What each limit is.");
    for cap in Cap::ALL {
        text.value(value, &[("limit", cap.as_str())], host.options.caps.get(*cap));
    }
    text.family(met, "counter", "How often each limit was met.");
    for cap in Cap::ALL.iter().filter(|cap| cap.is_counted()) {
        text.value(met, &[("limit", cap.as_str())], host.met.count(*cap));
    }
}

fn seconds(micros: u64) -> String {
    (micros as f64 / 1e6).to_string()
}

fn log_and_views(host: &Host, text: &mut Text) {
    let seen = host.watcher.subscribe().borrow().clone();
    let Some(head) = &seen.head else { return };
    let head = head.position().get();
    text.one("flightdeck_log_head_position", "gauge", "The position of the last event of the log.", head);
    let (lag, halted) = ("flightdeck_view_lag_events", "flightdeck_view_halted");
    text.family(lag, "gauge", "How many events whoever asks a view is behind the head.");
    for defined in &host.projections {
        let plan = defined.plan();
        if let Some(state) = answering(&seen.generations, plan.view(), plan.number()) {
            let behind = (head - state.checkpoint.position.get()).max(0);
            text.value(lag, &[("view", plan.view().as_str())], behind);
        }
    }
    text.family(halted, "gauge", "Whether a generation of a view has come to a halt.");
    for defined in &host.projections {
        let view = defined.plan().view();
        let is_halted =
            |state: &flightdeck_store::view::GenerationState| state.of.view == *view && state.halt.is_some();
        let any = u8::from(seen.generations.iter().any(is_halted));
        text.value(halted, &[("view", view.as_str())], any);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Measured, Text, requests};

    #[test]
    fn requests_are_counted_by_status_and_by_how_long_they_took() {
        let measured = Measured::default();
        for (status, micros) in [(200, 400), (200, 500), (404, 700), (200, 40_000_000)] {
            measured.answered("/a/{b}".to_owned(), "GET", status, Duration::from_micros(micros));
        }
        let mut text = Text::default();
        requests(&measured, &mut text);
        for line in [
            "flightdeck_http_requests_total{route=\"/a/{b}\",method=\"GET\",status=\"200\"} 3\n",
            "flightdeck_http_requests_total{route=\"/a/{b}\",method=\"GET\",status=\"404\"} 1\n",
            "flightdeck_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"GET\",le=\"0.0005\"} 2\n",
            "flightdeck_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"GET\",le=\"0.001\"} 3\n",
            "flightdeck_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"GET\",le=\"30\"} 3\n",
            "flightdeck_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"GET\",le=\"+Inf\"} 4\n",
            "flightdeck_http_request_duration_seconds_sum{route=\"/a/{b}\",method=\"GET\"} 40.0016\n",
            "flightdeck_http_request_duration_seconds_count{route=\"/a/{b}\",method=\"GET\"} 4\n",
        ] {
            assert!(text.0.contains(line), "{line} in {}", text.0);
        }
    }

    #[test]
    fn a_label_can_not_end_its_line() {
        let mut text = Text::default();
        text.value("a", &[("b", "c\"\n\\")], 1);
        assert_eq!(text.0, "a{b=\"c\\\"\\n\\\\\"} 1\n");
    }
}
