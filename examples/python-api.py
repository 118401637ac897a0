"""A tagger trained, exported, checked and run from Python, cell by cell."""

# %% A toy data set: three classes of events with eight features
import time
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import nn

import modelferry

torch.manual_seed(1)
centres = 2 * torch.randn(3, 8)
labels = torch.randint(0, 3, (3000,))
events = centres[labels] + torch.randn(3000, 8)

# %% Train for a second
tagger = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
optimizer = torch.optim.Adam(tagger.parameters(), 1e-2)
for _ in range(100):
    optimizer.zero_grad()
    nn.functional.cross_entropy(tagger(events[:2000]), labels[:2000]).backward()
    optimizer.step()

# %% Export; the network is still in training mode, and stays so
folder = Path(mkdtemp(prefix="modelferry-example-"))
artifacts = [
    modelferry.export(tagger, folder / name, inputs=events[:4], dynamic={0: "events"})
    for name in ("tagger.onnx", "tagger.exported.pt2", "tagger.pt")
]
for artifact in artifacts:
    print(artifact.format, artifact.comparison)
assert tagger.training

# %% Run the file, as another program would
loaded = modelferry.load(folder / "tagger.onnx")
print(loaded.contract.inputs, loaded.contract.outputs)
test = events[2000:3000].numpy()
logits = loaded(test)["output"]
accuracy = (logits.argmax(1) == labels[2000:].numpy()).mean()
print(f"accuracy {accuracy:.3f}")
assert accuracy > 0.9

# %% One event at a time
started = time.perf_counter()
for event in test[:200]:
    loaded(event[None])
print(f"{(time.perf_counter() - started) / 200 * 1e6:.0f} µs an event")

# %% A change of the last weight shows
with torch.no_grad():
    tagger[-1].bias[0] += 1e-3
result = modelferry.validate(tagger, loaded, events[:4])
print(result)
assert not result

# %% What is outside of the contract is refused
try:
    loaded(test[:, :7])
except modelferry.ModelferryError as error:
    print(error)
