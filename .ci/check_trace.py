"""Checks the record that the example `flight_recorder` has written; with a second argument, only what
is true of every record. See `.ci/perfetto`."""

import sys
from collections import defaultdict

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

Event = schema.TrackEvent
is_example = len(sys.argv) == 2
trace = schema.Trace()
trace.ParseFromString(open(sys.argv[1], "rb").read())
tracks = {}
events = defaultdict(list)
roots = defaultdict(list)
for packet in trace.packet:
    if packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        assert track.uuid not in tracks, "two tracks of one number"
        tracks[track.uuid] = track
        if not track.HasField("parent_uuid"):
            roots[packet.trusted_packet_sequence_id].append(track)
    else:
        assert packet.HasField("track_event"), packet
        event = packet.track_event
        assert event.track_uuid in tracks, "an event on a track that was not described before"
        events[event.track_uuid].append((packet.timestamp, event))

def named(name):
    found = [t for t in tracks.values() if t.name.split(" #")[0] == name]
    assert len(found) == 1, (name, [t.name for t in tracks.values()])
    return found[0]

# Tracks: the tree of the tasks, in the order in which they were spawned.
kernel = tracks[1]
# Each kernel is a sequence of packets, with one track at the root.
assert list(roots) == list(range(1, len(roots) + 1)) and all(len(it) == 1 for it in roots.values())
for nth, (root,) in enumerate(roots.values()):
    core = "" if len(roots) == 1 else f"core {nth}, "
    assert root.name.startswith(f"{core}kernel "), root.name
if is_example:
    assert named("main").parent_uuid == kernel.uuid
    assert named("front").parent_uuid == named("main").uuid
    for name in ["parser", "resizer"]:
        assert named(name).parent_uuid == named("front").uuid, name
    assert named("parser").sibling_order_rank < named("resizer").sibling_order_rank
ordered = schema.TrackDescriptor.EXPLICIT
assert all(t.child_ordering == ordered for t in tracks.values() if not t.HasField("counter"))

# Slices: in order of time, each begun and ended once, none inside another; the long poll is seen.
begun, ended, slices = {}, {}, 0
for track, on_track in events.items():
    assert [time for time, _ in on_track] == sorted(time for time, _ in on_track), tracks[track].name
    start = None
    for time, event in on_track:
        if event.type == Event.TYPE_SLICE_BEGIN:
            assert start is None, "a slice inside another"
            start = (time, event)
        elif event.type == Event.TYPE_SLICE_END:
            (since, first), start = start, None
            slices += 1
            if is_example and first.name == "POLL" and time - since >= 50_000_000:
                assert tracks[track].name.startswith("resizer")
                ended[track] = time
        for flow in event.flow_ids:
            assert event.type == Event.TYPE_INSTANT and event.name.startswith("wakes #")
            assert flow not in begun
            begun[flow] = (time, track)
    assert start is None, "a slice that does not end"
assert slices > 10 and len(ended) == int(is_example), (slices, ended)

# Parks: by the kind and the line of the await.
if is_example:
    parks = [e for _, e in events[named("parser").uuid] if e.name == "QUEUE_GET"]
    assert parks, [e.name for _, e in events[named("parser").uuid]]
    assert all(e.source_location.file_name == "examples/flight_recorder.rs" for e in parks)
    assert all(e.source_location.line_number > 0 for e in parks)

# Flows: an arrow ends at a poll, and comes from the task that has made it ready.
arrows = set()
for track, on_track in events.items():
    for time, event in on_track:
        for flow in event.terminating_flow_ids:
            assert event.type == Event.TYPE_SLICE_BEGIN and event.name == "POLL"
            since, source = begun[flow]
            assert since <= time
            arrows.add((tracks[source].name.split(" #")[0], tracks[track].name.split(" #")[0]))
assert not is_example or ("front", "parser") in arrows, arrows
assert any("kernel " in source for source, _ in arrows), "timers wake tasks"

# Counters.
for (root,) in roots.values():
    (counter,) = [t for t in tracks.values() if t.HasField("counter") and t.parent_uuid == root.uuid]
    assert counter.name == "ready tasks"
    values = [e.counter_value for _, e in events[counter.uuid]]
    assert all(e.type == Event.TYPE_COUNTER for _, e in events[counter.uuid])
    assert values and max(values) >= 1, values

print(f"{len(trace.packet)} packets, {len(tracks)} tracks, {slices} slices, {len(begun)} wakes")
