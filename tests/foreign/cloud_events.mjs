// The CloudEvents SDK of npm reads our log and writes events into it. Its argument is where the server is.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// From where it was installed, which is not beside this file.
const { CloudEvent, HTTP } = createRequire(`${process.cwd()}/`)("cloudevents");

const base = process.argv[2];
const ONE = "application/cloudevents+json";
const BATCH = "application/cloudevents-batch+json";

async function ask(method, path, headers, body) {
  const answer = await fetch(base + path, { method, headers, body });
  const text = await answer.text();
  assert.ok(answer.ok, `${answer.status} ${text}`);
  return { status: answer.status, type: answer.headers.get("content-type"), text };
}

// Reads a page as a batch, with the SDK, which looks at each event by the schema of the specification.
async function read(path) {
  const { type, text } = await ask("GET", path, { accept: BATCH });
  const events = HTTP.toEvent({ headers: { "content-type": type }, body: text });
  assert.ok(Array.isArray(events));
  for (const event of events) event.validate();
  return events;
}

// Ours, as theirs.
const note = { events: [{ eventType: "Noted", data: { a: [1, "é", null] }, tags: ["k:v"], metadata: { causationId: "c-1" } }] };
await ask("POST", "/api/streams/jsnote-1/events", { "content-type": "application/json" }, JSON.stringify(note));
const [ours] = await read("/api/events?streams=jsnote-1");
assert.deepEqual([ours.type, ours.subject, ours.source, ours.causationid, ours.tags], ["Noted", "jsnote-1", "urn:flightdeck", "c-1", "k:v"]);
assert.deepEqual(ours.data, { a: [1, "é", null] });

// Theirs, as ours: as the SDK writes them, and each once.
const written = [0, 1, 2].map(
  (number) => new CloudEvent({ type: "com.example.sold", source: "/jsshop", subject: "jsorder-1", extra: `x${number}`, data: { number } }),
);
for (const event of written) {
  const { headers, body } = HTTP.structured(event);
  assert.ok(headers["content-type"].startsWith(ONE), headers["content-type"]);
  for (const expected of [201, 200]) {
    const { status, text } = await ask("POST", "/api/append", headers, body);
    assert.deepEqual([status, JSON.parse(text).duplicate], [expected, expected === 200]);
  }
}

// A batch.
const more = [0, 1, 2, 3, 4].map((number) => new CloudEvent({ type: "Sold", source: "/jsshop", subject: "jsorder-2", data: { number } }));
const { status } = await ask("POST", "/api/append", { "content-type": BATCH }, JSON.stringify(more));
assert.equal(status, 201);

// What came back is what was written.
const back = await read("/api/events?streams=jsorder-1,jsorder-2&limit=100");
assert.deepEqual(back.map((event) => event.data.number), [0, 1, 2, 0, 1, 2, 3, 4]);
written.forEach((event, place) => {
  const kept = JSON.parse(back[place].metadata);
  assert.deepEqual([kept.source, kept.extra, back[place].type], ["/jsshop", event.extra, "com.example.sold"]);
});
console.log(`the CloudEvents SDK of npm read ${1 + back.length} events and wrote ${written.length + more.length}`);
