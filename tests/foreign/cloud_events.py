"""The CloudEvents SDK of Python reads our log and writes events into it. Its argument is where the server is."""

import json
import sys
import urllib.request

from cloudevents.conversion import to_json, to_structured
from cloudevents.http import CloudEvent, from_json

BASE = sys.argv[1]
ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def ask(method, path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(BASE + path, data=body, method=method, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.status, json.loads(answer.read())


def read(path):
    """Reads a page as a batch, with the SDK: each event of it must be one."""
    status, batch = ask("GET", path, Accept=BATCH)
    assert status == 200, status
    return [from_json(json.dumps(event)) for event in batch]


def main():
    # Ours, as theirs.
    note = {"events": [{"eventType": "Noted", "data": {"a": [1, "é", None]}, "tags": ["k:v"], "metadata": {"causationId": "c-1"}}]}
    ask("POST", "/api/streams/pynote-1/events", json.dumps(note).encode(), Content_Type="application/json")
    (event,) = read("/api/events?streams=pynote-1")
    assert event["type"] == "Noted" and event["subject"] == "pynote-1" and event["source"] == "urn:flightdeck", event
    assert event["specversion"] == "1.0" and event["causationid"] == "c-1" and event["tags"] == "k:v", event
    assert event.data == {"a": [1, "é", None]}, event.data
    # Theirs, as ours: one by one, as the SDK writes them, and each once.
    written = [
        CloudEvent({"type": "com.example.sold", "source": "/pyshop", "subject": "pyorder-1", "extra": f"x{number}"}, {"number": number})
        for number in range(3)
    ]
    for event in written:
        headers, body = to_structured(event)
        assert headers["content-type"] == ONE, headers
        for expected in (201, 200):
            status, told = ask("POST", "/api/append", body, Content_Type=ONE)
            assert status == expected and told["duplicate"] == (expected == 200), (status, told)
    # A batch, whose first events are new.
    more = [CloudEvent({"type": "Sold", "source": "/pyshop", "subject": "pyorder-2"}, number) for number in range(5)]
    body = ("[" + ",".join(to_json(event).decode() for event in more) + "]").encode()
    status, told = ask("POST", "/api/append", body, Content_Type=BATCH)
    assert status == 201 and told["streams"][0]["version"] == 5, told
    # What came back is what was written.
    back = read("/api/events?streams=pyorder-1,pyorder-2&limit=100")
    assert [event.data for event in back] == [{"number": number} for number in range(3)] + list(range(5)), back
    for event, before in zip(back, written):
        kept = json.loads(event["metadata"])
        assert kept["source"] == "/pyshop" and kept["extra"] == before["extra"], kept
        assert event["type"] == "com.example.sold" and event["occurredat"], event
    print(f"the CloudEvents SDK of Python read {1 + len(back)} events and wrote {len(written) + len(more)}")


main()
