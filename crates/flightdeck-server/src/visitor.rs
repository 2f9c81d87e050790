//! Who visits: the cookie that a browser is known by.

use actix_web::HttpResponse;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use flightdeck_analytics::VisitorId;
use flightdeck_core::WordError;

use crate::call::Call;
use crate::host::Host;
use crate::problem::Problem;

/// The cookie: an id, a dot, and what only this server can make of it.
const COOKIE: &str = "flightdeck_visitor";
/// The same over TLS: a browser takes a cookie of such a name from this host alone, and only over TLS.
const SECURE_COOKIE: &str = "__Host-flightdeck_visitor";
/// What the secret of the log is used for here.
const PURPOSE: &str = "visitor cookie";
/// How long a browser keeps it: longer, none does.
const DAYS: i64 = 400;

/// The visitor that the cookie of a request says; `None` when there is none, or one that is not of our making.
///
/// # Errors
/// When the store does not give out its secret.
pub(crate) async fn known(call: &Call) -> Result<Option<VisitorId>, Problem> {
    let Some(cookie) = call.request().cookie(name(call)) else { return Ok(None) };
    let Some((id, mac)) = cookie.value().rsplit_once('.') else { return Ok(None) };
    let (Ok(visitor), Some(mac)) = (VisitorId::new(id), unhex(mac)) else { return Ok(None) };
    let is_ours = call.store.secret().await?.is_mac(PURPOSE, id.as_bytes(), &mac);
    Ok(is_ours.then_some(visitor))
}

fn name(call: &Call) -> &'static str {
    if call.options.secure_cookies { SECURE_COOKIE } else { COOKIE }
}

/// A visitor that nobody has heard of.
///
/// # Errors
/// Never: an id of a visitor may be like that.
pub(crate) fn new(host: &Host) -> Result<VisitorId, WordError> {
    VisitorId::new(format!("{:032x}", host.ids.random()))
}

/// Has a browser keep who it is.
///
/// # Errors
/// When the store does not give out its secret, or the cookie can't be written.
pub(crate) async fn remember(
    call: &Call,
    visitor: &VisitorId,
    answer: &mut HttpResponse,
) -> Result<(), Problem> {
    let mac = call.store.secret().await?.mac(PURPOSE, visitor.as_str().as_bytes());
    let cookie = Cookie::build(name(call), format!("{visitor}.{}", hex(&mac)))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(call.options.secure_cookies)
        .max_age(Duration::days(DAYS))
        .finish();
    let wrong = |_| Problem::new(crate::problem::Code::Internal, "The cookie can't be written.");
    answer.add_cookie(&cookie).map_err(wrong)
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn hexadecimal_is_read_as_it_was_written() {
        assert_eq!(super::unhex(&super::hex(&[0, 10, 255])), Some(vec![0, 10, 255]));
        for bad in ["0", "0g", "é0", "+1"] {
            assert_eq!(super::unhex(bad), None, "{bad}");
        }
    }
}
