//! Who calls, as far as the connection tells: from which address, from which page, and how often.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use actix_web::http::header::{HeaderMap, ORIGIN};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;

use crate::call::header_of;
use crate::caps::Cap;
use crate::problem::{Code, Problem};

/// What stands for what can't be read: no address.
const UNREADABLE: &str = "?";

/// Callers that are kept in mind before those are forgotten that may ask again anyway.
const CALLERS_MAX: usize = 10_000;

/// The address that a request comes from. What a proxy says counts if it is one of those that are trusted: then it is the last address in
/// `X-Forwarded-For` that is none of them.
pub(crate) fn address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let peer = peer?.to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let told = headers.get_all("x-forwarded-for").map(|value| value.to_str().unwrap_or(UNREADABLE));
    let told: Vec<&str> = told.flat_map(|text| text.split(',')).map(str::trim).collect();
    for text in told.into_iter().rev() {
        // Beyond what can't be read anybody could have written anything.
        let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
        let Ok(address) = text.parse::<IpAddr>().or_else(|_| with_port()) else { return Some(peer) };
        if !is_trusted(&address) {
            return Some(address.to_canonical());
        }
    }
    Some(peer)
}

/// Whose a connection is, before anything came by it. A proxy's are those of many.
pub(crate) fn of_connection(peer: SocketAddr, trusted: &[IpNet]) -> Option<String> {
    let address = peer.ip().to_canonical();
    (!trusted.iter().any(|net| net.contains(&address))).then(|| name(Some(address)))
}

/// The same, as somebody is called of whom nothing else is known.
pub(crate) fn named(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> String {
    name(address(peer.map(|peer| peer.ip()), headers, trusted))
}

fn name(address: Option<IpAddr>) -> String {
    match address {
        None => "address unknown".to_owned(),
        Some(IpAddr::V4(address)) => format!("address {address}"),
        // Whoever has one of them has all.
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("address {}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Refuses what comes from the page of another site, unless that site is allowed: the browser sends its cookies along.
pub(crate) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let Some(origin) = header_of(headers, ORIGIN.as_str())? else { return Ok(()) };
    let host = header_of(headers, "host")?.unwrap_or_default();
    let is_own = origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host));
    match is_own || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        true => Ok(()),
        false => Err(Problem::new(Code::Forbidden, "The page is of a site that is not allowed here.")),
    }
}

/// Refuses a request to a host of a name that is not known to be this server's.
pub(crate) fn check_host(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let Some(host) = header_of(headers, "host")? else { return Ok(()) };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_known = bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed
            .iter()
            .filter_map(|origin| origin.split_once("://"))
            .any(|(_, known)| known.eq_ignore_ascii_case(host));
    match is_known {
        true => Ok(()),
        false => Err(Problem::new(
            Code::Forbidden,
            "Everyone may everything here, so a name counts only if `--origins` has it.",
        )),
    }
}

/// How often each caller may ask.
pub(crate) struct Rates(Option<DefaultKeyedRateLimiter<String>>);

impl Rates {
    /// So many requests a second, and twice as many at once; none is counted when it does not say how many.
    pub(crate) fn of(a_second: Option<NonZeroU32>) -> Self {
        let quota = |a_second: NonZeroU32| {
            Quota::per_second(a_second)
                .allow_burst(a_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)))
        };
        Self(a_second.map(quota).map(RateLimiter::keyed))
    }

    /// Counts a request of that caller.
    pub(crate) fn count(&self, caller: impl FnOnce() -> String) -> Result<(), Problem> {
        let Some(rates) = &self.0 else { return Ok(()) };
        let checked = rates.check_key(&caller());
        if rates.len() > CALLERS_MAX {
            rates.retain_recent();
        }
        checked.map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1);
            let problem = Problem::new(
                Code::TooManyRequests,
                "That is more requests than one caller may make in that time.",
            );
            problem.retry_after(u32::try_from(wait).unwrap_or(u32::MAX)).met(Cap::CallerRequestsPerSecond)
        })
    }
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rates").finish()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroU32;

    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Rates, address, check_host, check_origin};
    use crate::problem::Code;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let of = |peer: &str, told: &[(&'static str, &'static str)]| {
            address(Some(peer.parse().unwrap()), &headers(told), &trusted).unwrap().to_string()
        };
        const NAME: &str = "x-forwarded-for";
        assert_eq!(of("9.9.9.9", &[(NAME, "1.1.1.1")]), "9.9.9.9");
        assert_eq!(of("10.0.0.1", &[(NAME, "1.1.1.1")]), "1.1.1.1");
        assert_eq!(of("::ffff:10.0.0.1", &[(NAME, "1.1.1.1")]), "1.1.1.1");
        assert_eq!(
            of("10.0.0.1", &[(NAME, "7.7.7.7, 1.1.1.1, 10.0.0.2")]),
            "1.1.1.1",
            "what comes before anybody may have said"
        );
        assert_eq!(of("10.0.0.1", &[(NAME, "7.7.7.7"), (NAME, "1.1.1.1")]), "1.1.1.1");
        assert_eq!(of("10.0.0.1", &[(NAME, "1.1.1.1, junk")]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &[(NAME, "1.1.1.1:5678")]), "1.1.1.1");
        assert_eq!(of("10.0.0.1", &[(NAME, "[2001:db8::1]:5678")]), "2001:db8::1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        let mut odd = headers(&[(NAME, "7.7.7.7")]);
        odd.append(HeaderName::from_static(NAME), HeaderValue::from_bytes(b"\xff, 1.1.1.1").unwrap());
        let peer = "10.0.0.1".parse().ok();
        assert_eq!(address(peer, &odd, &trusted), peer, "what can't be read is not passed over");
        assert_eq!(address(None, &headers(&[]), &trusted), None::<IpAddr>);
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        let allowed = ["https://shop.example".to_owned()];
        let of = |all: &[(&'static str, &'static str)]| check_origin(&headers(all), &allowed);
        for good in [
            &[("host", "here.example")][..],
            &[("host", "here.example"), ("origin", "https://here.example")],
            &[("host", "here.example:8443"), ("origin", "https://here.example:8443")],
            &[("host", "here.example"), ("origin", "https://shop.example")],
        ] {
            of(good).unwrap();
        }
        for bad in [
            "https://here.example.evil",
            "https://shop.example.evil",
            "http://shop.example",
            "null",
            "here.example",
        ] {
            let told = HeaderValue::from_static(bad);
            let mut all = headers(&[("host", "here.example")]);
            all.insert(HeaderName::from_static("origin"), told);
            assert_eq!(check_origin(&all, &allowed).unwrap_err().code(), Code::Forbidden, "{bad}");
        }
    }

    #[test]
    fn a_name_that_leads_here_counts_only_if_it_is_known() {
        let allowed = ["https://shop.example".to_owned()];
        let of = |host: &'static str| check_host(&headers(&[("host", host)]), &allowed);
        for good in [
            "localhost",
            "localhost:4600",
            "127.0.0.1:4600",
            "[::1]:4600",
            "[::1]",
            "shop.example",
            "10.0.0.1",
        ] {
            of(good).unwrap();
        }
        for bad in [
            "evil.example",
            "evil.example:4600",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "shop.example:80",
        ] {
            assert_eq!(of(bad).unwrap_err().code(), Code::Forbidden, "{bad}");
        }
    }

    #[test]
    fn who_asks_too_often_waits_and_nobody_else() {
        let rates = Rates::of(NonZeroU32::new(5));
        let asks = |who: &str| rates.count(|| who.to_owned());
        let answered = (0..100).filter(|_| asks("a").is_ok()).count();
        assert!((10..=12).contains(&answered), "{answered} at once");
        assert_eq!(asks("a").unwrap_err().code(), Code::TooManyRequests);
        asks("b").unwrap();
        let none = Rates::of(None);
        assert!((0..1_000).all(|_| none.count(|| "a".to_owned()).is_ok()));
    }
}
