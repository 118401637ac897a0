"""The program around a generated header that executes it: what `modelferry.formats.codegen.worker` is for Python."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from modelferry.core.errors import ArtifactError

PROGRAM = Template("""\
#include "$header"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

int main() {
  std::printf("%.*s\\n", static_cast<int>($name::contract.size()), $name::contract.data());
  std::fflush(stdout);
  std::uint32_t header[2];
  std::vector<char> rows;
  std::vector<double> outputs;
  while (std::fread(header, sizeof header, 1, stdin) == 1) {
    rows.resize(std::size_t{header[0]} * header[1]);
    if (!rows.empty() && std::fread(rows.data(), rows.size(), 1, stdin) != 1) return 1;
    outputs.clear();
    for (std::size_t row = 0; row < header[0]; ++row) {
      const char* begin = rows.data() + row * header[1];
$call
    }
    std::fwrite(outputs.data(), sizeof(double), outputs.size(), stdout);
    std::fflush(stdout);
  }
}
""")

TEXT = "      const auto result = $name::predict(std::string_view(begin, header[1]));"
VECTOR = """\
      std::array<float, $inputs> values;
      if (header[1] != sizeof values) return 1;
      std::memcpy(values.data(), begin, sizeof values);
      const auto result = $name::predict(values);"""
ONE, SEVERAL = "outputs.push_back(result);", "outputs.insert(outputs.end(), result.begin(), result.end());"


def program(header: Path) -> str:
    """Return the program of a header; raise `ArtifactError` if it is not a header of a network."""
    code = header.read_text(encoding="utf-8", errors="replace")
    name = re.search(r"^namespace (\w+) \{$", code, re.MULTILINE)
    predict = re.search(
        r"^(Real|std::array<Real, \d+>) predict\((?:const std::array<Real, (\d+)>)?", code, re.MULTILINE
    )
    if name is None or predict is None:
        raise ArtifactError(f"{header} is not a header of a network", "export it again")
    call = Template(VECTOR if predict[2] else TEXT).substitute(name=name[1], inputs=predict[2])
    collect = ONE if predict[1] == "Real" else SEVERAL
    return PROGRAM.substitute(header=header, name=name[1], call=f"{call}\n      {collect}")
