#!/usr/bin/env python3
"""The bytes that tests/train/TensorBoardTest.cpp expects, by the Python package tensorboard 2.x: its own protocol buffers and record writer."""

import io

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def scalars(step, values):
    return Event(wall_time=1234.5, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values]))


events = {
    "version": Event(wall_time=1234.5, file_version="brain.Event:2"),
    "start": Event(wall_time=1234.5, step=300, session_log=SessionLog(status=SessionLog.START)),
    "scalars": scalars(70000, [("loss/training", 0.25), ("aux/layers.0.gate", -1.5e-3)]),
    "long": scalars(1, [("x" * 200, 1.0)]),
}
for name, event in events.items():
    out = io.BytesIO()
    RecordWriter(out).write(event.SerializeToString())
    print(name, out.getvalue().hex())
