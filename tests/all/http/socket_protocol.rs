//! WebSocket frames as RFC 6455 has them, right and wrong: each is answered, or ends its connection with the code that is meant for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::sockets::{BINARY, CLOSE, CONTINUATION, PING, PONG, Received, Socket, TEXT};
use super::sockets::{declared, farewell, frame};
use super::{Kind, Site};

/// Set in the first byte of the last frame of a message.
const FIN: u8 = 0x80;
/// What one message has at the most.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Until when whatever comes has come, and the connection is closed behind a close frame.
const PATIENCE: Duration = Duration::from_secs(9);
const V1: Option<&str> = Some("flightdeck.v1");
/// Where nothing comes by itself: the log has no events.
const PATH: &str = "/api/events?after=head";

/// With the protocol nothing is asked for in the URL.
fn path(protocol: Option<&str>) -> &'static str {
    if protocol.is_some() { "/api/events" } else { PATH }
}

/// In how many bytes a time a case is sent: all at once, and one by one.
const EACH_WAY: &[usize] = &[usize::MAX, 1];
/// What is large need not come one by one.
const IN_PIECES: &[usize] = &[usize::MAX, 997];

/// What is sent, and all that is to come of it, or one of several. Unless that ends with a close frame, the socket is to take more.
struct Case {
    name: String,
    sent: Vec<u8>,
    right: String,
}

fn case(name: impl Into<String>, frames: &[Vec<u8>], right: impl Into<String>) -> Case {
    Case { name: name.into(), sent: frames.concat(), right: right.into() }
}

/// A ping of the subprotocol, and how its answer is written here.
fn op(id: &Value) -> Vec<u8> {
    json!({ "op": "ping", "id": id }).to_string().into_bytes()
}

fn told(id: &Value) -> String {
    format!("told {id}")
}

/// The ping of the subprotocol with the id 1, with spaces behind it up to a length.
fn padded(length: usize) -> Vec<u8> {
    let mut text = op(&json!(1));
    assert!(text.len() <= length);
    text.resize(length, b' ');
    text
}

/// A whole message in one frame.
fn text(payload: &[u8]) -> Vec<u8> {
    frame(FIN | TEXT, payload)
}

/// A message in as many frames as there are parts.
fn fragments<'a>(opcode: u8, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut parts = parts.into_iter().peekable();
    let (mut frames, mut opcode) = (Vec::new(), opcode);
    while let Some(part) = parts.next() {
        let fin = if parts.peek().is_some() { 0 } else { FIN };
        frames.push(frame(fin | opcode, part));
        opcode = CONTINUATION;
    }
    frames
}

/// How what came is written here.
fn written(received: Received) -> String {
    match received {
        Received::Pong(payload) => format!("pong {}", payload.escape_ascii()),
        Received::Close(None, _) => "close".to_owned(),
        Received::Close(Some(code), _) => format!("close {code}"),
        Received::Text(text) => {
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            match (answer["k"].as_str(), answer["code"].as_str(), answer["detail"].as_str()) {
                (Some("pong"), None, None) => told(&answer["id"]),
                (Some("error"), Some(code), Some(detail)) if !detail.is_empty() => format!("error {code}"),
                _ => format!("the text {text}"),
            }
        }
        other => format!("{other:?}"),
    }
}

/// All that comes of a case on a connection of its own, until that is closed: by the server alone, unless this end leaves when it is told to.
fn outcome(site: &Site, protocol: Option<&str>, case: &Case, piece: usize, leaves: bool) -> String {
    let mut socket = Socket::open(&site.url, path(protocol), protocol, &[]).unwrap();
    socket.patience(PATIENCE);
    // What ends a connection is not answered here.
    socket.silent = true;
    for bytes in case.sent.chunks(piece) {
        socket.send_raw(bytes);
    }
    if !case.right.contains("close") {
        match protocol {
            Some(_) => socket.send_text("{\"op\":\"ping\",\"id\":\"more\"}"),
            None => socket.send_frame(true, PING, b"more"),
        }
        socket.close(1000, "");
    }
    let mut came = Vec::new();
    while came.len() < 100
        && let Some(received) = socket.next()
    {
        if leaves && matches!(received, Received::Close(..)) {
            socket.leave();
        }
        // The server's own pings come whenever they come.
        if !matches!(received, Received::Ping(_)) {
            came.push(written(received));
        }
    }
    if !socket.is_over {
        came.push("and it is not closed".to_owned());
    }
    came.join(", ")
}

/// Tries all of them, in each of these ways, and names those that went wrong.
#[track_caller]
fn all_right(protocol: Option<&str>, cases: &[Case], pieces: &[usize]) {
    let (site, mut wrong) = (Site::start(Kind::Sqlite), Vec::new());
    let more = if protocol.is_some() { "told \"more\", close 1000" } else { "pong more, close 1000" };
    for (case, piece) in cases.iter().flat_map(|case| pieces.iter().map(move |piece| (case, *piece))) {
        let one_of = case.right.split(" | ").map(|right| match right {
            "" => more.to_owned(),
            right if right.contains("close") => right.to_owned(),
            right => format!("{right}, {more}"),
        });
        let (one_of, came) = (one_of.collect::<Vec<_>>(), outcome(&site, protocol, case, piece, true));
        if !one_of.contains(&came) {
            let way = if piece == usize::MAX { "at once".to_owned() } else { format!("{piece} a time") };
            wrong.push(format!("{}, {way}: {came:?}, and not {one_of:?}\n", case.name));
        }
        // Each may have been waited for; so many are enough to go on with.
        if wrong.len() == 20 {
            break;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.concat());
}

#[test]
fn texts_of_every_length_come_whole() {
    let mut cases = vec![case("a text of no bytes", &[text(b"")], "error bad-message")];
    for length in [125, 126, 127, 128, 65_535] {
        cases.push(case(format!("a text of {length} bytes"), &[text(&padded(length))], told(&json!(1))));
    }
    for length in [1, 125, 126, 127, 128, 200] {
        let id = json!("x".repeat(length));
        cases.push(case(format!("an id of {length} bytes"), &[text(&op(&id))], told(&id)));
    }
    let many: Vec<Vec<u8>> = (0..10).map(|id| text(&op(&json!(id)))).collect();
    let all: Vec<String> = (0..10).map(|id| told(&json!(id))).collect();
    cases.push(case("ten texts", &many, all.join(", ")));
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn what_is_no_operation_is_told_so() {
    let cases: Vec<Case> = [
        ("no JSON", "what?", "error bad-message"),
        ("half of an object", "{\"op\":\"ping\"", "error bad-message"),
        ("an array", "[]", "error bad-message"),
        ("a string", "\"ping\"", "error bad-message"),
        ("null", "null", "error bad-message"),
        ("two objects", "{\"op\":\"ping\",\"id\":1}{}", "error bad-message"),
        (
            "an operation that is a number",
            "{\"op\":1,\"id\":1}",
            "error bad-message | error unknown-operation",
        ),
        ("an operation that there is not", "{\"op\":\"what\",\"id\":1}", "error unknown-operation"),
        ("an operation in capitals", "{\"op\":\"PING\",\"id\":1}", "error unknown-operation"),
        ("an id that is an object", "{\"op\":\"ping\",\"id\":{}}", "error bad-message"),
        ("an id that is an array", "{\"op\":\"ping\",\"id\":[1]}", "error bad-message"),
        ("a negative id", "{\"op\":\"ping\",\"id\":-7}", "told -7"),
        ("an id with a fraction", "{\"op\":\"ping\",\"id\":1.5}", "told 1.5"),
        ("space around it", " \n{ \"id\" : 1 , \"op\" : \"ping\" }\r\n", "told 1"),
    ]
    .into_iter()
    .map(|(name, message, right)| case(name, &[text(message.as_bytes())], right))
    .chain([case("an id of 201 bytes", &[text(&op(&json!("x".repeat(201))))], "error bad-message")])
    .collect();
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn pings_are_answered_with_what_they_hold() {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let long = [b'x'; 126];
    let mut cases = vec![
        case("a ping of nothing", &[ping(b"")], "pong "),
        case("a ping of text", &[ping(b"Hello, world!")], "pong Hello, world!"),
        case(
            "a ping of no text",
            &[ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")],
            r"pong \x00\xff\xfe\xfd\xfc\xfb\x00\xff",
        ),
        case("a ping of 125 bytes", &[ping(&long[..125])], format!("pong {}", "x".repeat(125))),
        case("a ping of 126 bytes", &[ping(&long)], "close 1002"),
        case("a pong of 126 bytes", &[frame(FIN | PONG, &long)], "close 1002"),
        case("a ping of 64 KiB and one byte", &[ping(&[0; MESSAGE_BYTES + 1])], "close 1002"),
        case("a ping that says it has 1 GiB", &[declared(FIN | PING, 1 << 30)], "close 1002"),
        case("a pong of nothing", &[frame(FIN | PONG, b"")], ""),
        case("a pong of text", &[frame(FIN | PONG, b"nobody asked")], ""),
        case("a pong and a ping", &[frame(FIN | PONG, b"nobody asked"), ping(b"asked")], "pong asked"),
    ];
    let ten: Vec<Vec<u8>> = (0..10).map(|number| ping(format!("ping {number}").as_bytes())).collect();
    let all: Vec<String> = (0..10).map(|number| format!("pong ping {number}")).collect();
    cases.push(case("ten pings", &ten, all.join(", ")));
    all_right(V1, &cases, EACH_WAY);
    // A socket that only follows answers them as well.
    all_right(None, &cases, EACH_WAY);
}

#[test]
fn reserved_bits_end_it() {
    let (well, ping) = (text(&op(&json!(1))), frame(FIN | PING, b"unheard"));
    let mut cases = Vec::new();
    for bits in 1..=7 {
        let first = FIN | bits << 4;
        let name = |what: &str| format!("{what} with the reserved bits {bits:03b}");
        cases.push(case(name("a text"), &[frame(first | TEXT, &op(&json!(1)))], "close 1002"));
        cases.push(case(name("a binary message"), &[frame(first | BINARY, b"")], "close 1002"));
        cases.push(case(name("a ping"), &[frame(first | PING, b"x")], "close 1002"));
        cases.push(case(name("a pong"), &[frame(first | PONG, b"x")], "close 1002"));
        cases.push(case(name("a close"), &[frame(first | CLOSE, &farewell(1000, ""))], "close 1002"));
        let last = [frame(TEXT, b"{"), frame(first | CONTINUATION, b"}")];
        cases.push(case(name("a continuation"), &last, "close 1002"));
        let between = [well.clone(), frame(first | TEXT, b"{}"), ping.clone()];
        cases.push(case(name("a text behind one that is well"), &between, "told 1, close 1002"));
    }
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn reserved_opcodes_end_it() {
    let (well, ping) = (text(&op(&json!(1))), frame(FIN | PING, b"unheard"));
    let mut cases = Vec::new();
    for opcode in (3..=7).chain(11..=15) {
        let name = |what: &str| format!("the opcode {opcode} {what}");
        cases.push(case(name("with nothing"), &[frame(FIN | opcode, b"")], "close 1002"));
        cases.push(case(name("with a payload"), &[frame(FIN | opcode, b"Hello")], "close 1002"));
        cases.push(case(name("without a FIN"), &[frame(opcode, b"Hello")], "close 1002"));
        let within = [frame(TEXT, b"{"), frame(FIN | opcode, b"}")];
        cases.push(case(name("within a message"), &within, "close 1002"));
        let between = [well.clone(), frame(FIN | opcode, b""), ping.clone()];
        cases.push(case(name("behind a text that is well"), &between, "told 1, close 1002"));
    }
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn fragments_become_one_message() {
    let whole = op(&json!("cut"));
    let (begin, end) = whole.split_at(9);
    let (first, last) = (frame(TEXT, begin), frame(FIN | CONTINUATION, end));
    let more = |part: &[u8]| frame(CONTINUATION, part);
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let well = told(&json!("cut"));
    let cases = [
        case("two fragments", &[first.clone(), last.clone()], &well),
        case("a ping between two", &[first.clone(), ping(b"a"), last.clone()], format!("pong a, {well}")),
        case("a pong between two", &[first.clone(), frame(FIN | PONG, b"a"), last.clone()], &well),
        case(
            "pings between five",
            &[
                first.clone(),
                more(&end[..2]),
                ping(b"a"),
                more(&end[2..4]),
                more(&end[4..5]),
                ping(b"b"),
                frame(FIN, &end[5..]),
            ],
            format!("pong a, pong b, {well}"),
        ),
        case("fragments of one byte each", &fragments(TEXT, whole.chunks(1)), &well),
        case("only empty fragments", &fragments(TEXT, [b"".as_slice(); 3]), "error bad-message"),
        case("empty fragments around a full one", &fragments(TEXT, [b"", whole.as_slice(), b""]), &well),
        case("an empty one between two", &fragments(TEXT, [begin, b"", end]), &well),
        case(
            "a hundred empty ones between",
            &[vec![first.clone()], vec![more(b""); 100], vec![last.clone()]].concat(),
            &well,
        ),
        case(
            "two messages in fragments",
            &[fragments(TEXT, [begin, end]), fragments(TEXT, whole.chunks(7))].concat(),
            format!("{well}, {well}"),
        ),
        case("a close between two", &[first, frame(FIN | CLOSE, &farewell(1000, "")), last], "close 1000"),
    ];
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn fragments_of_nothing_end_it() {
    let well = text(&op(&json!(1)));
    let (first, last) = (frame(TEXT, b"{"), frame(FIN | CONTINUATION, b"}"));
    let more = frame(CONTINUATION, b"");
    let mut cases = vec![
        case("the last of nothing", std::slice::from_ref(&last), "close 1002"),
        case("the next of nothing", std::slice::from_ref(&more), "close 1002"),
        case("an empty last of nothing", &[frame(FIN | CONTINUATION, b"")], "close 1002"),
        case("the last of a message that was whole", &[well.clone(), last.clone()], "told 1, close 1002"),
        case("the next of a message that was whole", &[well.clone(), more.clone()], "told 1, close 1002"),
        case("a whole text within a message", &[first.clone(), well, last.clone()], "close 1002"),
        case("another beginning within a message", &[first.clone(), first.clone()], "close 1002"),
        case(
            "a binary message within a text",
            &[first.clone(), frame(FIN | BINARY, b"")],
            "close 1002 | close 1003",
        ),
        case(
            "the beginning of a binary one within a text",
            &[first, more, frame(BINARY, b"")],
            "close 1002 | close 1003",
        ),
    ];
    for (name, opcode) in [("a ping", PING), ("a pong", PONG), ("a close", CLOSE)] {
        let cut = fragments(opcode, [b"\x03".as_slice(), b"\xe8"]);
        cases.push(case(format!("{name} in two fragments"), &cut, "close 1002"));
        cases.push(case(format!("{name} without a FIN"), &[frame(opcode, b"")], "close 1002"));
    }
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn what_is_utf_8_is_taken_wherever_it_is_cut() {
    let mut cases = Vec::new();
    let first_and_last = "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{10000}\u{10ffff}";
    // No characters, but code points like others; what begins a text or ends a line elsewhere, and not in JSON.
    let others = "\u{fdd0}\u{fffe}\u{ffff}\u{1fffe}\u{8ffff}\u{10fffe}\u{fffd}\u{feff}\u{2028}\u{2029}";
    let words = ["λόγος", "naïve, smörgås, čeština", "\u{1f680}e\u{301}"].map(str::to_owned);
    for good in first_and_last.chars().chain(others.chars()).map(String::from).chain(words) {
        let (id, right) = (json!(good), told(&json!(good)));
        let (name, whole) = (good.escape_unicode(), op(&id));
        cases.push(case(format!("{name} in one frame"), &[text(&whole)], &right));
        cases.push(case(format!("{name} byte by byte"), &fragments(TEXT, whole.chunks(1)), &right));
        // At the first byte within it, with a ping in between.
        let place = whole.windows(good.len()).position(|there| there == good.as_bytes()).unwrap() + 1;
        let (begin, end) = whole.split_at(place);
        let cut = [frame(TEXT, begin), frame(FIN | PING, b"cut"), frame(FIN | CONTINUATION, end)];
        cases.push(case(format!("{name} in two frames"), &cut, format!("pong cut, {right}")));
    }
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn what_is_no_utf_8_ends_it() {
    let mut cases = Vec::new();
    // With a space between one and the next.
    let bad: [(&str, &[u8]); 6] = [
        ("what goes on with nothing", b"\x80 \xbf \xc2\x80\x80 \x80\xbf\x80\xbf"),
        ("what is not whole", b"\xc3 \xe2\x82 \xf0\x9f \xf0\x9f\x9a \xce\xbb\xe1\xbd"),
        (
            "an overlong form",
            b"\xc0\x80 \xc0\xaf \xc1\xbf \xe0\x80\x80 \xe0\x80\xaf \xe0\x9f\xbf \xf0\x80\x80\xaf \xf0\x8f\xbf\xbf",
        ),
        ("a surrogate", b"\xed\xa0\x80 \xed\xad\xbf \xed\xbf\xbf \xed\xa0\x80\xed\xb0\x80"),
        (
            "more than U+10FFFF",
            b"\xf4\x90\x80\x80 \xf5\x80\x80\x80 \xf7\xbf\xbf\xbf \xf8\x88\x80\x80\x80 \xfc\x84\x80\x80\x80\x80",
        ),
        ("a byte that is never used", b"\xfe \xff \xfe\xfe\xff\xff"),
    ];
    let bad =
        bad.iter().flat_map(|(what, all)| all.split(|byte| *byte == b' ').map(move |bytes| (what, bytes)));
    for (what, bytes) in bad {
        let name = |how: &str| format!("{what}, {}, {how}", bytes.escape_ascii());
        let whole = [b"{\"op\":\"ping\",\"id\":\"".as_slice(), bytes, b"\"}"].concat();
        let (begin, end) = whole.split_at(20);
        cases.push(case(name("alone"), &[text(bytes)], "close 1007"));
        cases.push(case(name("in a string"), &[text(&whole)], "close 1007"));
        cases.push(case(
            name("behind what is well"),
            &[text(&[&op(&json!(1)), bytes].concat())],
            "close 1007",
        ));
        cases.push(case(name("cut in two"), &fragments(TEXT, [begin, end]), "close 1007"));
        cases.push(case(name("byte by byte"), &fragments(TEXT, whole.chunks(1)), "close 1007"));
    }
    let cut = fragments(TEXT, [b"\"\xce".as_slice(), b"\"", b"\xba"]);
    cases.push(case("what is whole only without what is between", &cut, "close 1007"));
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn a_close_is_answered_and_then_the_connection_is_closed() {
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    let gone = farewell(1000, "");
    let mut cases = vec![
        case("a close of nothing", &[close(b"")], "close | close 1000"),
        case("a close with a reason", &[close(&farewell(1000, "Good bye! \u{1f680}"))], "close 1000"),
        case("a close of 125 bytes", &[close(&farewell(1000, &"x".repeat(123)))], "close 1000"),
        case("a text behind it", &[close(&gone), text(&op(&json!(1)))], "close 1000"),
        case("a ping behind it", &[close(&gone), frame(FIN | PING, b"late")], "close 1000"),
        case("a second one behind it", &[close(&gone), close(&farewell(1001, ""))], "close 1000"),
        case("what is wrong behind it", &[close(&gone), frame(0xff, b"late")], "close 1000"),
        case("much behind it", &[close(&gone), text(&padded(MESSAGE_BYTES)).repeat(4)], "close 1000"),
        case("a text before it", &[text(&op(&json!(1))), close(&gone)], "told 1, close 1000"),
    ];
    let legal = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for code in legal {
        let name = format!("a close with the code {code}");
        cases.push(case(&name, &[close(&farewell(code, ""))], format!("close {code}")));
        cases.push(case(format!("{name}, why"), &[close(&farewell(code, "why"))], format!("close {code}")));
    }
    all_right(V1, &cases, EACH_WAY);
    all_right(None, &cases[..3], EACH_WAY);
}

#[test]
fn a_close_that_is_none_ends_it() {
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    let mut cases = vec![
        case("a close of one byte", &[close(b"\x03")], "close 1002"),
        case("a close of 126 bytes", &[close(&farewell(1000, &"x".repeat(124)))], "close 1002"),
        case("a reason that is no UTF-8", &[close(b"\x03\xe8\xce\xba\xed\xa0\x80x")], "close 1007"),
        case("a reason that is not whole", &[close(b"\x03\xe8\xe2\x82")], "close 1007"),
    ];
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let name = format!("a close with the code {code}");
        cases.push(case(&name, &[close(&farewell(code, ""))], "close 1002"));
        cases.push(case(format!("{name}, why"), &[close(&farewell(code, "why"))], "close 1002"));
    }
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn what_is_too_large_ends_it_at_once() {
    let (most, over) = (padded(MESSAGE_BYTES), padded(MESSAGE_BYTES + 1));
    let well = told(&json!(1));
    // The head of a frame, and of its payload only the beginning.
    let only =
        |first: u8, length: u64, payload: &[u8]| [declared(first, length).as_slice(), payload].concat();
    let cases = [
        case("a message of 64 KiB", &[text(&most)], &well),
        case("two of 64 KiB", &[text(&most), text(&most)], format!("{well}, {well}")),
        case("64 KiB in two frames", &fragments(TEXT, most.chunks(MESSAGE_BYTES / 2)), &well),
        case("64 KiB in frames of 1,300 bytes", &fragments(TEXT, most.chunks(1_300)), &well),
        case("64 KiB in frames of 64 bytes", &fragments(TEXT, most.chunks(64)), &well),
        case("64 KiB, and an empty frame", &fragments(TEXT, [most.as_slice(), b""]), &well),
        case("a byte more", &[text(&over)], "close 1009"),
        case("a byte more in two frames", &fragments(TEXT, over.chunks(MESSAGE_BYTES)), "close 1009"),
        case("a byte more in frames of 1,300 bytes", &fragments(TEXT, over.chunks(1_300)), "close 1009"),
        case("a byte more, not the last", &[frame(TEXT, &most), frame(CONTINUATION, b" ")], "close 1009"),
        case("a byte more, of which nothing comes", &[only(FIN | TEXT, 65_537, b"")], "close 1009"),
        case("a frame that says it has 1 GiB", &[only(FIN | TEXT, 1 << 30, b"")], "close 1009"),
        case("one that begins so", &[only(FIN | TEXT, 1 << 30, &most)], "close 1009"),
        case("one that says so of a fragment", &[only(TEXT, 1 << 30, b"{")], "close 1009"),
        case("2^63-1 bytes", &[only(FIN | TEXT, u64::MAX >> 1, b"")], "close 1009"),
        // No length at all, and the largest number that there is.
        case("2^64-1 bytes", &[only(FIN | TEXT, u64::MAX, b"")], "close 1009 | close 1002"),
        case("a last fragment of 2^63-1", &[frame(TEXT, b"{"), only(FIN, u64::MAX >> 1, b"")], "close 1009"),
        case("a sum that is too large", &[frame(TEXT, &most), only(FIN, 1, b"")], "close 1009"),
    ];
    all_right(V1, &cases, IN_PIECES);
}

#[test]
fn what_is_not_masked_or_no_text_ends_it() {
    let bare = |first: u8, payload: &[u8]| [&[first, u8::try_from(payload.len()).unwrap()], payload].concat();
    let first = frame(TEXT, b"{");
    let cases = [
        case("a text without a mask", &[bare(FIN | TEXT, &op(&json!(1)))], "close 1002"),
        case("nothing without a mask", &[bare(FIN | TEXT, b"")], "close 1002"),
        case("a ping without a mask", &[bare(FIN | PING, b"x")], "close 1002"),
        case("a close without a mask", &[bare(FIN | CLOSE, b"\x03\xe8")], "close 1002"),
        case("a continuation without a mask", &[first, bare(FIN, b"}")], "close 1002"),
        case("a mask of zeros", &[b"\x89\x81\0\0\0\0x".to_vec()], "pong x"),
        case("a binary message of nothing", &[frame(FIN | BINARY, b"")], "close 1003"),
        case("a binary message", &[frame(FIN | BINARY, &op(&json!(1)))], "close 1003"),
        case("a binary message that is no UTF-8", &[frame(FIN | BINARY, b"\xff\xfe")], "close 1003"),
        case(
            "a binary message in fragments",
            &fragments(BINARY, [b"\xff".as_slice(), b"\xfe"]),
            "close 1003",
        ),
    ];
    all_right(V1, &cases, EACH_WAY);
}

#[test]
fn a_socket_without_a_subprotocol_takes_no_message() {
    let ping = op(&json!(1));
    let cases = [
        case("a text", &[text(&ping)], "close 4501"),
        case("a text of nothing", &[text(b"")], "close 4501"),
        case("a text in fragments", &fragments(TEXT, ping.chunks(5)), "close 4501"),
        case("a ping before a text", &[frame(FIN | PING, b"x"), text(&ping)], "pong x, close 4501"),
        case("reserved bits", &[frame(0xc0 | TEXT, &ping)], "close 1002"),
        case("a reserved opcode", &[frame(FIN | 3, &ping)], "close 1002"),
        case("no mask", &[vec![FIN | TEXT, 0]], "close 1002"),
        case("a continuation of nothing", &[frame(FIN, b"")], "close 1002"),
        case("a close with a code that is none", &[frame(FIN | CLOSE, &farewell(1005, ""))], "close 1002"),
        case("2^63-1 bytes", &[declared(FIN | TEXT, u64::MAX >> 1)], "close 1009"),
    ];
    all_right(None, &cases, EACH_WAY);
}

/// Whatever ends a connection: it is the server that closes it, though the other end says nothing to that and stays.
#[test]
fn the_server_closes_by_itself() {
    let (site, close) = (Site::start(Kind::Sqlite), |payload: &[u8]| frame(FIN | CLOSE, payload));
    let cases = [
        (V1, case("a close of nothing", &[close(b"")], "close | close 1000")),
        (V1, case("a close with a code", &[close(&farewell(1000, ""))], "close 1000")),
        (None, case("a close of who only follows", &[close(&farewell(1001, ""))], "close 1001")),
        (V1, case("two closes", &[close(&farewell(1000, "")), close(&farewell(1000, ""))], "close 1000")),
        (V1, case("a close of one byte", &[close(b"\x03")], "close 1002")),
        (V1, case("reserved bits", &[frame(0xc0 | TEXT, b"{}")], "close 1002")),
        (V1, case("reserved bits, and a close", &[frame(0xc0 | TEXT, b"{}"), close(b"")], "close 1002")),
        (V1, case("what is no UTF-8", &[text(b"\xff")], "close 1007")),
        (V1, case("what is no text", &[frame(FIN | BINARY, b"{}")], "close 1003")),
        (V1, case("what is too large", &[declared(FIN | TEXT, 1 << 30)], "close 1009")),
        (V1, case("much of that", &[declared(FIN | TEXT, 1 << 30), vec![0; 1 << 20]], "close 1009")),
        (None, case("a message of who only follows", &[text(b"{}")], "close 4501")),
    ];
    // Side by side, for each may take its time.
    std::thread::scope(|scope| {
        for (protocol, case) in &cases {
            let site = &site;
            scope.spawn(move || {
                let came = outcome(site, *protocol, case, usize::MAX, false);
                assert!(case.right.split(" | ").any(|right| right == came), "{}: {came:?}", case.name);
            });
        }
    });
}

/// Packing is offered by browsers, and not taken: the client here fails at an extension in the answer.
#[test]
fn no_extension_is_taken() {
    let site = Site::start(Kind::Sqlite);
    for offered in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits, permessage-deflate; what=\"ever\", x-webkit-deflate-frame",
    ] {
        let headers = [("Sec-WebSocket-Extensions", offered)];
        let mut socket = Socket::open(&site.url, path(V1), V1, &headers).unwrap();
        assert_eq!(socket.protocol.as_deref(), V1, "{offered}");
        socket.send_text("{\"op\":\"ping\",\"id\":\"a\"}");
        assert_eq!(socket.json(), json!({ "k": "pong", "id": "a" }), "{offered}");
        // What is packed has the first of the reserved bits.
        socket.send_raw(&frame(0xc0 | TEXT, b"\xaa\x56\xca\x2f\x50\xb2\x52\x2a\xc8\xcc\x4b\x57\xaa\x05\x00"));
        let ended = socket.next();
        assert!(matches!(ended, Some(Received::Close(Some(1002), _))), "{offered}: {ended:?}");
    }
    let socket = Socket::open(&site.url, PATH, None, &[]).unwrap();
    assert_eq!(socket.protocol, None);
}

/// The frames of one who follows: pings are answered among what comes, and a subscription outlives an operation that is none.
#[test]
fn a_socket_that_follows_is_asked_as_any_other() {
    let site = Site::start(Kind::Sqlite);
    let mut socket = Socket::open(&site.url, "/api/events", V1, &[]).unwrap();
    socket.subscribe("a", None, json!({ "streams": ["order-*"] }));
    let subscribed = socket.json();
    assert_eq!((&subscribed["k"], &subscribed["sub"]), (&json!("subscribed"), &json!("a")), "{subscribed}");
    let caught_up = socket.json();
    assert_eq!((&caught_up["k"], &caught_up["sub"]), (&json!("caught-up"), &json!("a")), "{caught_up}");
    socket.send_frame(true, PING, b"x");
    assert_eq!(socket.next(), Some(Received::Pong(b"x".to_vec())));
    socket.send_text("[]");
    assert_eq!(socket.json()["code"], "bad-message");
    socket.send_text("{\"op\":\"ping\",\"id\":2}");
    assert_eq!(socket.json(), json!({ "k": "pong", "id": 2 }));
    socket.close(1000, "");
    let closed = std::iter::from_fn(|| socket.next()).take(10).last();
    assert!(matches!(closed, Some(Received::Close(Some(1000), _))) && socket.is_over, "{closed:?}");
}
