//! `/live`: the log as it comes, for people. The page is served whole by this server, and follows the log as any client does.

use crate::call::Call;
use crate::operation::{Answer, Operation};
use crate::params::pattern_param;

use super::docs::{CSS, HTML, JAVASCRIPT, file, served};

/// What the page keeps behind the `?`, so that a link shows the same to somebody else. Credentials are not among it, and are refused there.
const KEPT: [&str; 6] = ["streams", "types", "tags", "after", "transport", "follow"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/live", "getLive", "The log as it comes, for people.")
            .query::<KeptParam>("streams", "What the page follows at first, as of the log.")
            .query::<KeptParam>("types", "The same.")
            .query::<KeptParam>("tags", "The same.")
            .query::<KeptParam>("after", "The same; `head` when it is not given.")
            .query::<KeptParam>("transport", "How the page follows it: `sse` or `websocket`.")
            .query::<KeptParam>("follow", "With `true` it begins by itself.")
            .answers_as::<String>(200, HTML, "A page.")
            .to(page),
        Operation::get("/live/page.css", "getLiveStyle", "How the page looks.")
            .answers_as::<String>(200, CSS, "A style sheet.")
            .to(style),
        Operation::get("/live/page.js", "getLiveScript", "What follows the log and draws it.")
            .answers_as::<String>(200, JAVASCRIPT, "A script.")
            .to(script),
    ]
}

async fn page(call: Call) -> Answer {
    let mut params = call.params();
    // The page reads them; whether they are any good says the log when it is asked.
    for name in KEPT {
        params.text(name);
    }
    params.finish()?;
    served(&call, HTML, include_str!("../live/page.html"))
}

async fn style(call: Call) -> Answer {
    file(&call, CSS, include_str!("../live/page.css"))
}

async fn script(call: Call) -> Answer {
    file(&call, JAVASCRIPT, include_str!("../live/page.js"))
}

pattern_param! {
    /// Describes what is read by the page alone.
    KeptParam, "^[^\\u0000]*$"
}
