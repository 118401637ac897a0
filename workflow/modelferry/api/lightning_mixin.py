"""A mixin that gives modules of Lightning, and any other, methods that export what is validated."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from modelferry.core.errors import ArgumentError

if TYPE_CHECKING:
    import torch

    from modelferry.api.example_inputs import Dynamic, Inputs
    from modelferry.api.export import Artifact

OWN = ("strict", "optimize")


class ExportMixin:
    """Exports of a network as methods; write it before the other bases: ``class Net(ExportMixin, LightningModule)``.

    Lightning has methods called ``to_torchscript`` and ``to_onnx``. These take the same arguments in the same order;
    options that only PyTorch's own exporters know (``check_trace``, ``opset_version``, …) go on to Lightning's methods.
    Examples are the module's ``example_input_array`` unless given.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        before = cls.__mro__[: cls.__mro__.index(ExportMixin)]
        for base in before:
            if not issubclass(base, ExportMixin) and "to_torchscript" in vars(base):
                name = f"class {cls.__name__}(ExportMixin, {base.__name__})"
                raise ArgumentError(
                    f"{base.__name__} hides the methods of ExportMixin in {cls.__name__}", f"write {name}"
                )

    def to_torchscript(
        self,
        file_path: str | Path | None = None,
        method: str | None = "script",
        example_inputs: Inputs | None = None,
        **kwargs: Any,
    ) -> torch.jit.ScriptModule | dict[str, torch.jit.ScriptModule]:
        """Return the module in TorchScript, saved to `file_path` if there is one: see `export_to_torchscript`.

        ``strict`` and ``optimize`` are its options.
        """
        if not kwargs.keys() <= set(OWN):
            return self._inherited("to_torchscript", file_path, method, example_inputs, kwargs)
        from modelferry.api.torchscript import export_to_torchscript

        return export_to_torchscript(_network(self), file_path, example_inputs, method or "script", **kwargs)

    def to_onnx(
        self,
        file_path: str | Path | BytesIO | None = None,
        input_sample: Inputs | None = None,
        *,
        dynamic: Dynamic | None = None,
        **kwargs: Any,
    ) -> Artifact | Any:
        """Write the module as ONNX and return it, loaded: see `export`. To a ``BytesIO``, the bytes."""
        if kwargs:
            if dynamic is not None:
                raise ArgumentError(f"`dynamic` does not go with {', '.join(kwargs)}", "use dynamic_shapes instead")
            return self._inherited("to_onnx", file_path, input_sample, kwargs)
        if file_path is None:
            raise ArgumentError("`to_onnx` has no file to write", "give file_path=…")
        if not isinstance(file_path, BytesIO):
            return self._exported(file_path, "onnx", input_sample, dynamic)
        with TemporaryDirectory(prefix="modelferry-onnx-") as folder:
            out = Path(folder) / "model.onnx"
            artifact = self._exported(out, "onnx", input_sample, dynamic)
            file_path.write(out.read_bytes())
            return replace(artifact, path=Path())

    def to_aotinductor(
        self,
        file_path: str | Path,
        example_inputs: Inputs | None = None,
        *,
        dynamic: Dynamic | None = None,
        **options: Any,
    ) -> Artifact:
        """Compile the module with AOTInductor and return it, loaded: see `export`."""
        return self._exported(file_path, "aotinductor", example_inputs, dynamic, options)

    def _exported(
        self,
        path: str | Path,
        format: str,
        inputs: Inputs | None,
        dynamic: Dynamic | None,
        options: dict[str, Any] | None = None,
    ) -> Artifact:
        from modelferry.api.export import export

        inputs = getattr(self, "example_input_array", None) if inputs is None else inputs
        if inputs is None:
            remedy = "give one, or set `example_input_array`"
            raise ArgumentError(f"{type(self).__name__} has no example of its inputs", remedy)
        return export(_network(self), path, inputs=inputs, format=format, dynamic=dynamic, options=options)

    def _inherited(self, name: str, *arguments: Any) -> Any:
        *positional, kwargs = arguments
        method = getattr(super(), name, None)
        if method is None:
            raise ArgumentError(f"`{name}` has no option '{next(iter(kwargs))}'", f"it has {', '.join(OWN)}")
        return method(*positional, **kwargs)


def _network(module: ExportMixin) -> torch.nn.Module:
    return cast("torch.nn.Module", module)
