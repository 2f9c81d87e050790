// Browsers and clients of npm follow the log while it is written to and the server is killed again and again: each must get every event
// exactly once and in order. Its arguments are the binary and a folder of its own; CHROMIUM and FIREFOX say where browsers are, and
// FOLLOWERS, a comma list of parts of their names, which followers are wanted (without it all of them).

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { mkdirSync, openSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";

const [, , binary, folder] = process.argv;

// How many events there are at the least, how many of them before anybody follows, and how long there is nothing to do between two appends.
const EVENTS_MIN = 2_000;
const HISTORY = 200;
const PAUSE_MS = 20;
// How the server is killed: when so many more are written, and it stays away so long. `seen`: each follower got one of them before.
const KILLS = [
  { more: 250, away_ms: 0, seen: true },
  { more: 250, away_ms: 1_000, seen: true },
  { more: 40, away_ms: 300, seen: false },
  { more: 250, away_ms: 4_000, seen: true },
];
// How long may pass without what has to come.
const PATIENCE_MS = 60_000;

// The followers: in a page as well as here, so they use nothing but their arguments. `told` takes what they get.

function byEventSource({ EventSource }, base, told) {
  const source = new EventSource(`${base}/api/events`);
  source.onopen = () => told.opened++;
  source.onmessage = ({ data, lastEventId }) => {
    const event = JSON.parse(data);
    told.got.push(event.data.number);
    if (event.cursor !== lastEventId) told.wrong.push(`the id ${lastEventId} came with ${data}`);
  };
  source.addEventListener("reset", ({ data }) => told.wrong.push(`reset ${data}`));
  // It comes again by itself, with the last id, or gives up for good.
  source.onerror = () => {
    if (source.readyState === 2) told.wrong.push("it has given up");
  };
}

function byWebSocket({ WebSocket }, base, told) {
  let last;
  const take = (message) => {
    const { k, sub, event, at } = JSON.parse(message);
    if (sub !== "a") return told.wrong.push(message);
    if (k === "event") {
      last = event.cursor;
      told.got.push(event.data.number);
    } else if (k === "caught-up" || k === "checkpoint") {
      last = at;
    } else if (k !== "subscribed" && k !== "fell-behind") {
      told.wrong.push(message);
    }
  };
  const come = () => {
    const socket = new WebSocket(`${base.replace("http", "ws")}/api/events`, "flightdeck.v1");
    socket.onopen = () => {
      told.opened++;
      socket.send(JSON.stringify({ op: "subscribe", sub: "a", after: last || 0 }));
    };
    socket.onmessage = ({ data }) => take(data);
    socket.onclose = ({ code, reason }) => {
      if (code < 4500) setTimeout(come, 300);
      else told.wrong.push(`closed with ${code} ${reason}`);
    };
  };
  come();
}

function byPlainWebSocket({ WebSocket }, base, told) {
  let last;
  const come = () => {
    const socket = new WebSocket(`${base.replace("http", "ws")}/api/events${last ? `?after=${last}` : ""}`);
    socket.onopen = () => told.opened++;
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      last = event.cursor;
      told.got.push(event.data.number);
    };
    // That it is closed is told as well.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      if (code < 4500) setTimeout(come, 300);
      else told.wrong.push(`closed with ${code} ${reason}`);
    };
  };
  come();
}

// What a page does: it says all that it has, again and again, and follows from when it is told to.
async function inPage(base, home, followers) {
  const all = followers.map(([name]) => ({ name, got: [], opened: 0, wrong: [] }));
  for (let going = false; ; ) {
    const said = await fetch(`${home}/told`, { method: "POST", body: JSON.stringify(all) }).then((answer) => answer.text()).catch(() => "");
    if (said === "go" && !going) {
      going = true;
      followers.forEach(([, follow], place) => follow(globalThis, base, all[place]));
    }
    await new Promise((done) => setTimeout(done, 200));
  }
}

// From where they were installed, which is not beside this file.
const npm = createRequire(`${process.cwd()}/`);
const wanted = (process.env.FOLLOWERS ?? "").toLowerCase().split(",");
// A page is FlightDeck's own, or one of another origin that it was told of. Firefox has no EventSource of the second kind: there it gives up
// for good when nobody answers (153; on a page of the same origin it comes again).
const followers = [
  { name: "chromium EventSource", follow: byEventSource, browser: "CHROMIUM", page: "own" },
  { name: "chromium WebSocket", follow: byWebSocket, browser: "CHROMIUM", page: "own" },
  { name: "chromium EventSource of another origin", follow: byEventSource, browser: "CHROMIUM", page: "other" },
  { name: "chromium WebSocket of another origin", follow: byWebSocket, browser: "CHROMIUM", page: "other" },
  { name: "firefox EventSource", follow: byEventSource, browser: "FIREFOX", page: "own" },
  { name: "firefox WebSocket", follow: byWebSocket, browser: "FIREFOX", page: "own" },
  { name: "firefox WebSocket of another origin", follow: byWebSocket, browser: "FIREFOX", page: "other" },
  { name: "npm eventsource", follow: byEventSource, client: () => npm("eventsource") },
  { name: "npm ws", follow: byPlainWebSocket, client: () => ({ WebSocket: npm("ws") }) },
]
  .filter(({ name }) => wanted.some((part) => name.toLowerCase().includes(part)))
  .filter(({ browser }) => !browser || process.env[browser])
  .map((follower) => ({ ...follower, here: !follower.browser, told: { got: [], opened: 0, wrong: [] } }));

// What was started here, and ends with this, each with all that it has started.

const running = new Set();
let fail;
const failed = new Promise((_, reject) => (fail = reject));

function run(name, command, args, options) {
  const log = openSync(`${folder}/${name}.log`, "a");
  const child = spawn(command, args, { cwd: folder, detached: true, stdio: ["ignore", "pipe", log], ...options });
  running.add(child);
  child.on("error", fail);
  child.on("exit", (code, signal) => {
    if (running.delete(child)) fail(new Error(`${name} has ended (${code ?? signal}); see ${folder}/${name}.log`));
  });
  return child;
}

function kill(child) {
  running.delete(child);
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended, or was never there.
  }
}

process.on("exit", () => running.forEach(kill));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

// The server, always at the same place.

let base;
let server;

async function start() {
  const args = ["serve", "--listen", new URL(base).host, "--store", `sqlite:${folder}/store.db`, "--origins", other];
  server = run("server", binary, args);
  const [line] = await once(createInterface(server.stdout), "line", { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (line !== `flightdeck ready on ${base}`) throw new Error(`the server says: ${line}`);
}

async function killServer() {
  const gone = once(server, "exit");
  kill(server);
  await gone;
}

// The writer: one append after another, each again with the same ids until it is answered.

const writer = new EventEmitter();
const written = { last: 0, again: 0, twice: 0, enough: false };

async function append(events) {
  const body = JSON.stringify({ events });
  const headers = { "content-type": "application/json" };
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await wait(50)) {
    const asked = fetch(`${base}/api/streams/a-1/events`, { method: "POST", headers, body, signal: AbortSignal.timeout(10_000) });
    writer.emit("asked");
    const answer = await asked.then(async (answer) => ({ status: answer.status, text: await answer.text() })).catch(() => ({ status: 503 }));
    if (answer.status === 201) return;
    // The one before was written, and nobody heard of it.
    if (answer.status === 200) return written.twice++;
    if (answer.status < 500 && answer.status !== 429) throw new Error(`an append is answered with ${answer.status} ${answer.text}`);
    written.again++;
  }
  throw new Error("an append is not answered");
}

async function write() {
  for (let turn = 0; !written.enough; turn++) {
    const numbers = Array.from({ length: 1 + (turn % 4) }, (_, place) => written.last + 1 + place);
    await append(numbers.map((number) => ({ id: randomUUID(), eventType: "A", data: { number } })));
    written.last = numbers.at(-1);
    await wait(PAUSE_MS);
  }
}

// The pages, served from here: those of another origin for good, FlightDeck's own from where it will be, as long as it is not there.

let other;
let going = false;

function page(kind, browser) {
  const inside = followers.filter((follower) => follower.browser === browser && follower.page === kind);
  const list = inside.map(({ name, follow }) => `[${JSON.stringify(name)}, ${follow}]`);
  const frame = kind === "own" ? `<iframe src="${other}/${browser}"></iframe>` : "";
  const script = `(${inPage})(${JSON.stringify(base)}, ${JSON.stringify(other)}, [${list}]);`;
  return `<!doctype html><meta charset="utf-8"><title>push</title><script>${script}</script>${frame}`;
}

async function answer(kind, request, response) {
  if (request.method === "GET") return response.setHeader("content-type", "text/html").end(page(kind, request.url.slice(1)));
  const pieces = await request.toArray();
  for (const { name, ...told } of JSON.parse(Buffer.concat(pieces))) {
    Object.assign(followers.find((follower) => follower.name === name), { told, here: true });
  }
  return response.setHeader("access-control-allow-origin", "*").end(going ? "go" : "");
}

async function serve(kind) {
  const pages = createServer((request, response) => answer(kind, request, response).catch(fail));
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  return { pages, url: `http://127.0.0.1:${pages.address().port}` };
}

// Opens all pages, and makes room for the server.
async function open() {
  ({ url: other } = await serve("other"));
  const own = await serve("own");
  base = own.url;
  for (const browser of new Set(followers.flatMap(({ browser }) => browser ?? []))) browse(browser, `${base}/${browser}`);
  await until("the pages", () => followers.every(({ here }) => here));
  own.pages.close();
  own.pages.closeAllConnections();
  await once(own.pages, "close");
}

function follow() {
  going = true;
  for (const { follow, client, told } of followers.filter(({ client }) => client)) follow(client(), base, told);
}

// Nothing but this machine is asked for anything: whatever is not here goes to a proxy that is not there.
const CHROMIUM = [
  ..."--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking".split(" "),
  ..."--disable-component-update --disable-sync --no-first-run --proxy-server=127.0.0.1:9".split(" "),
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];
const FIREFOX = {
  "app.normandy.enabled": false,
  "app.update.disabledForTesting": true,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.proxy.allow_bypass": false,
  "network.proxy.failover_direct": false,
  "network.proxy.http": "127.0.0.1",
  "network.proxy.http_port": 9,
  "network.proxy.ssl": "127.0.0.1",
  "network.proxy.ssl_port": 9,
  "network.proxy.type": 1,
  "toolkit.telemetry.enabled": false,
};

function browse(browser, url) {
  const name = browser.toLowerCase();
  const profile = `${folder}/${name}`;
  mkdirSync(profile);
  const settings = Object.entries(FIREFOX).map(([setting, value]) => `user_pref("${setting}", ${JSON.stringify(value)});\n`);
  if (browser === "FIREFOX") writeFileSync(`${profile}/user.js`, settings.join(""));
  const args = browser === "FIREFOX" ? ["--headless", "--no-remote", "--profile", profile] : [...CHROMIUM, `--user-data-dir=${profile}`];
  // What they write beside their profile goes there as well.
  run(name, process.env[browser], [...args, url], { env: { ...process.env, HOME: profile } }).stdout.resume();
}

// The proof.

// What is wrong with what somebody got, if anything is.
function fault({ got, wrong }) {
  if (wrong.length > 0) return wrong.join("; ");
  const place = got.findIndex((number, place) => number !== place + 1);
  if (place >= 0) return `behind ${place} comes ${got[place]}`;
  if (got.length !== written.last) return `it ends at ${got.length} of ${written.last}`;
}

const have = () => followers.map(({ name, told }) => `${name}: ${fault(told) ?? "all of it"}, over ${told.opened} connections`).join("\n");

async function until(what, is) {
  for (const end = Date.now() + PATIENCE_MS; !is(); await wait(20)) {
    const late = Date.now() > end;
    if (late || followers.some(({ told }) => told.wrong.length > 0)) throw new Error(`${what}: ${late ? "too late" : "not so"}\n${have()}`);
  }
}

const all = (number) => () => followers.every(({ told }) => told.got.at(-1) >= number);

// What the log itself has, page by page.
async function inLog() {
  const got = [];
  for (let after = "0", caughtUp = false; !caughtUp; ) {
    const answer = await (await fetch(`${base}/api/events?limit=1000&after=${after}`)).json();
    got.push(...answer.events.map((event) => event.data.number));
    ({ scannedTo: after, caughtUp } = answer);
  }
  return got;
}

async function prove() {
  if (followers.length === 0) throw new Error("nobody follows");
  const began = Date.now();
  await open();
  await start();
  const writing = write();
  writing.catch(fail);
  await until("history", () => written.last >= HISTORY);
  follow();
  let up = 1;
  for (const [turn, { more, away_ms, seen }] of KILLS.entries()) {
    if (seen) await until(`what each follower gets before kill ${turn + 1}`, all(up));
    const from = written.last;
    await until("writing", () => written.last >= from + more);
    // In the midst of an append, and not each time at the same place.
    await once(writer, "asked");
    await wait(2 * turn);
    await killServer();
    await wait(away_ms);
    await start();
    // Beyond what was on its way when it was killed.
    up = written.last + 8;
  }
  await until("what each follower gets after the last kill", all(up));
  await until("writing", () => written.last >= EVENTS_MIN);
  written.enough = true;
  await writing;
  await until("the last event", all(written.last));
  // Whatever comes behind the last one is too much.
  await wait(1_000);
  const judged = [{ name: "the log", told: { got: await inLog(), wrong: [] } }, ...followers];
  let good = true;
  for (const { name, told } of judged) {
    const wrong = fault(told);
    good &&= !wrong;
    const times = told.opened ? `, over ${told.opened} connections` : "";
    console.log(wrong ? `${name}: WRONG, ${wrong}` : `${name}: 1 to ${written.last}, each once and in order${times}`);
  }
  const seconds = ((Date.now() - began) / 1_000).toFixed(1);
  console.log(`${KILLS.length} kills in ${seconds} s; ${written.again} appends were sent again, ${written.twice} of them had been written`);
  return good;
}

try {
  process.exit((await Promise.race([prove(), failed])) ? 0 : 1);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
