"""A version of ONNX Runtime: an ONNX file that it reads, executed in it and in the installed one."""

from __future__ import annotations

from modelferry.formats.destinations import Delivery, Destination

DESTINATION = Destination(
    name="onnxruntime",
    summary="an older ONNX Runtime: an ONNX file that is executed in that version as well",
    deliveries={"onnx": Delivery(name="onnxruntime-{version}", format="onnx@{version}")},
    settings={"version": "1.17.1"},
)
