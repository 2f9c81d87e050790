//! Where a list goes on: the link from one page to the next.

use actix_web::http::header::{HeaderValue, LINK};
use actix_web::{HttpRequest, HttpResponse};

/// Puts `Link` there, when there is a next page: the same request, behind where this page ended.
#[must_use]
pub fn linked(mut answer: HttpResponse, request: &HttpRequest, next: Option<&str>) -> HttpResponse {
    let link = next.and_then(|next| HeaderValue::from_str(&link(request, next)).ok());
    if let Some(link) = link {
        answer.headers_mut().insert(LINK, link);
    }
    answer
}

fn link(request: &HttpRequest, next: &str) -> String {
    let is_other = |part: &&str| !part.is_empty() && part.split('=').next() != Some("after");
    let mut query: Vec<&str> = request.query_string().split('&').filter(is_other).collect();
    let after = format!("after={}", encoded(next));
    query.push(&after);
    format!("<{}?{}>; rel=\"next\"", request.uri().path(), query.join("&"))
}

/// A text as the value of a parameter.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use actix_web::HttpResponse;
    use actix_web::http::header::LINK;
    use actix_web::test::TestRequest;

    use super::linked;

    #[test]
    fn the_next_page_is_the_same_request_behind_this_page() {
        let request =
            TestRequest::with_uri("/api/tags/k%3Av?limit=2&after=e-1&types=A%2CB").to_http_request();
        let answer = linked(HttpResponse::Ok().finish(), &request, Some("a/b c~"));
        let link = answer.headers().get(LINK).unwrap();
        assert_eq!(link, "</api/tags/k%3Av?limit=2&types=A%2CB&after=a%2Fb%20c~>; rel=\"next\"");
        assert!(linked(HttpResponse::Ok().finish(), &request, None).headers().get(LINK).is_none());
    }
}
