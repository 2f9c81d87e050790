//! `/docs` and `/metrics`: what people and monitoring look at. The page is served whole by this server, and works without a network.

use actix_web::HttpResponse;

use crate::authorise::{Action, Object};
use crate::call::Call;
use crate::measure;
use crate::operation::{Answer, Operation};

pub(super) const HTML: &str = "text/html";
pub(super) const CSS: &str = "text/css";
pub(super) const JAVASCRIPT: &str = "text/javascript";

/// What a page may load: what this server serves, and nothing that stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/docs", "getDocs", "The API, for people.")
            .answers_as::<String>(200, HTML, "A page.")
            .to(page),
        Operation::get("/docs/page.css", "getDocsStyle", "How the page looks.")
            .answers_as::<String>(200, CSS, "A style sheet.")
            .to(style),
        Operation::get("/docs/page.js", "getDocsScript", "What draws the page.")
            .answers_as::<String>(200, JAVASCRIPT, "A script.")
            .to(script),
        Operation::get("/metrics", "getMetrics", "What was measured, for Prometheus.")
            .answers_as::<String>(200, measure::FORMAT, "The measurements, in the text format.")
            .to(metrics),
    ]
}

/// A file of a page, which has no parameters.
pub(super) fn file(call: &Call, media: &str, text: &'static str) -> Answer {
    call.no_params()?;
    served(call, media, text)
}

/// A file of a page whose parameters were read.
pub(super) fn served(call: &Call, media: &str, text: &'static str) -> Answer {
    call.may(Action::Read, Object::Server)?;
    let mut answer = HttpResponse::Ok();
    answer.content_type(format!("{media}; charset=utf-8"));
    answer.insert_header(("Content-Security-Policy", POLICY));
    answer.insert_header(("Referrer-Policy", "no-referrer"));
    Ok(answer.body(text))
}

async fn page(call: Call) -> Answer {
    file(&call, HTML, include_str!("../docs/page.html"))
}

async fn style(call: Call) -> Answer {
    file(&call, CSS, include_str!("../docs/page.css"))
}

async fn script(call: Call) -> Answer {
    file(&call, JAVASCRIPT, include_str!("../docs/page.js"))
}

async fn metrics(call: Call) -> Answer {
    call.no_params()?;
    call.may(Action::Administer, Object::Server)?;
    Ok(measure::answer(call.host()).await)
}
