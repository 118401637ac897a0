#include <doctest.h>
#include <modelferry/errors.h>
#include <modelferry/model.h>
#include <sys/stat.h>

#include "archives.h"
#include "artifact.h"
#include "cpu.h"
#include "samples.h"
#include "sha256.h"

using modelferry::ArtifactError;
using modelferry::inspect;

namespace {

void refused(const std::filesystem::path& path, const std::string& reason) {
  CHECK_THROWS_WITH_AS(modelferry::Model{path}, doctest::Contains(reason.c_str()), ArtifactError);
}

/// Writes an archive of these entries to a folder of its own, and expects that it is refused.
void refused_archive(const std::string& bytes, const std::string& reason) {
  const Copy copy("torchscript");
  write(copy.folder / "other.pt", bytes);
  refused(copy.folder / "other.pt", reason);
}

std::string replaced(std::string bytes, const std::string& old, const std::string& fresh) {
  for (auto at = bytes.find(old); at != std::string::npos; at = bytes.find(old, at + fresh.size())) {
    bytes.replace(at, old.size(), fresh);
  }
  return bytes;
}

std::string digest(const std::string& text) {
  return modelferry::sha256({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
}

}  // namespace

TEST_SUITE("artifact") {
  TEST_CASE("digests are those of FIPS 180-4") {
    CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(digest(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }

  TEST_CASE("instruction sets need all their flags") {
    const std::string avx2 = "sse2 avx2 fma f16c bmi1 bmi2 movbe";
    const std::string avx512 = avx2 + " avx512f avx512bw avx512cd avx512vl avx512dq";
    CHECK(modelferry::runs("avx2", avx2, "x86_64"));
    CHECK_FALSE(modelferry::runs("avx2", "sse2 avx2 fma", "x86_64"));
    CHECK_FALSE(modelferry::runs("avx512", avx2, "x86_64"));
    CHECK(modelferry::runs("avx512", avx512, "x86_64"));
    CHECK_FALSE(modelferry::runs("avx512_vnni", avx512, "x86_64"));
    CHECK(modelferry::runs("aarch64", "asimd", "aarch64"));
    CHECK_FALSE(modelferry::runs("aarch64", avx2, "x86_64"));
  }

  TEST_CASE("an artifact is known by its folder and by its file") {
    for (const char* name : {"torchscript", "aotinductor"}) {
      const Copy copy(name);
      CHECK(inspect(copy.folder).identity.format == name);
      CHECK(inspect(copy.artifact()).identity.model == "samples/fold-0");
      CHECK(inspect(copy.artifact()).contract.inputs.size() == 3);
      std::filesystem::remove(copy.folder / "manifest.json");
      CHECK(inspect(copy.artifact()).identity.sha256.empty());
      refused(copy.folder, "holds no manifest.json");
    }
  }

  TEST_CASE("one changed byte is refused unloaded") {
    const Copy copy("torchscript");
    std::string bytes = content(copy.artifact());
    bytes[bytes.size() / 2] ^= 1;
    std::ofstream(copy.artifact(), std::ios::binary) << bytes;
    refused(copy.folder, "is not the file that its manifest describes");
  }

  TEST_CASE("damaged files are refused with or without a manifest") {
    const Copy copy("aotinductor");
    const std::string bytes = content(copy.artifact());
    std::filesystem::remove(copy.folder / "manifest.json");
    const auto written = [&](const std::string& text) {
      std::ofstream(copy.artifact(), std::ios::binary) << text;
      return copy.artifact();
    };
    refused(written(bytes.substr(0, bytes.size() / 2)), "is damaged");
    refused(written(""), "is damaged");
    refused(written("no archive"), "is damaged");
    refused(copy.folder / "nothing.pt", "there is no artifact");
  }

  TEST_CASE("a manifest that is named tells the digest, whatever lies beside the file") {
    const Copy copy("torchscript"), other("aotinductor");
    const auto file = copy.artifact();
    const auto manifest = copy.folder / "elsewhere.json";
    std::filesystem::rename(copy.folder / "manifest.json", manifest);
    CHECK(inspect(file, manifest).identity.model == "samples/fold-0");
    CHECK(inspect(copy.folder, manifest).file == file);
    CHECK(modelferry::Model(file, {.manifest = manifest}).identity().sha256.size() == 64);
    CHECK_THROWS_WITH_AS(inspect(file, other.folder / "manifest.json"), doctest::Contains("does not describe"), ArtifactError);
    CHECK_THROWS_WITH_AS(inspect(file, copy.folder / "none.json"), doctest::Contains("none.json is missing"), ArtifactError);
    std::string bytes = content(file);
    bytes[bytes.size() / 2] ^= 1;
    write(file, bytes);
    CHECK_THROWS_WITH_AS(inspect(file, manifest), doctest::Contains("is not the file that its manifest describes"), ArtifactError);
  }

  TEST_CASE("a named pipe is refused, as artifact and as manifest") {
    const Copy copy("torchscript");
    const auto pipe = copy.folder / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    refused(pipe, "not a file");
    CHECK_THROWS_WITH_AS(inspect(copy.artifact(), pipe), doctest::Contains("not a file"), ArtifactError);
  }

  TEST_CASE("entries that would be written outside the folder are refused") {
    Entries entries = entries_of(made("failing"));
    for (const char* top : {"absolute", "above", "here"}) refused(made("top-" + std::string(top) + ".pt"), "would be written outside its folder");
    for (const char* name : {"../x", "a/../../x", "C:/x", "a\\..\\x", ".."}) {
      CAPTURE(name);
      entries[name] = "x";
      refused_archive(archive_of(entries), "would be written outside its folder");
      entries.erase(name);
    }
    entries[std::string(600, 'a') + "/../../../x"] = "x";  // libtorch's reader tells 511 bytes of a name
    refused_archive(archive_of(entries), "would be written outside its folder");
  }

  TEST_CASE("entries of one name, and those much larger than the file, are refused") {
    Entries entries = entries_of(made("failing"));
    entries["extra/contract.jsom"] = "{}";
    refused_archive(replaced(archive_of(entries), "contract.jsom", "contract.json"), "two entries of one name");
    entries.erase("extra/contract.jsom");
    entries["extra/zeros"] = std::string(20 << 20, '\0');
    refused_archive(archive_of(entries, true), "much larger than the file");
  }

  TEST_CASE("what is nested 100,000 deep is refused, in a manifest and in an archive") {
    const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
    const Copy copy("torchscript");
    copy.replace("{", "{\"unknown\": " + deep + ",");
    refused(copy.folder, "more than 100 levels");
    Entries entries = entries_of(made("failing"));
    entries["extra/contract.json"].insert(1, "\"unknown\": " + deep + ",");
    refused_archive(archive_of(entries), "more than 100 levels");
  }

  TEST_CASE("a folder in the place of the file is refused") {
    const Copy copy("torchscript");
    const auto artifact = copy.artifact();
    std::filesystem::remove(artifact);
    std::filesystem::create_directory(artifact);
    refused(copy.folder, "is missing");
  }

  TEST_CASE("a manifest that does not fit is refused") {
    const std::vector<std::array<std::string, 3>> cases{
        {R"("format": "torchscript")", R"("format": "aotinductor")", "is a TorchScript archive, and its manifest says aotinductor"},
        {R"("name": "mask")", R"("name": "musk")", "different contracts"},
        {R"("torch": "2.)", R"("torch": "99.)", "was made with PyTorch 99."},
        {R"("sha256": ")", R"("sha257": ")", "lacks a field"},
        {R"({)", R"([)", "is damaged"},
    };
    for (const auto& [old, fresh, reason] : cases) {
      const Copy copy("torchscript");
      copy.replace(old, fresh);
      refused(copy.folder, reason);
    }
  }

  TEST_CASE("a package needs its own PyTorch, a TorchScript archive that or a newer one") {
    using modelferry::check_torch;
    check_torch("f", true, "2.13.0", "2.13.0+cpu");
    check_torch("f", false, "2.9.1", "2.13.0");
    CHECK_THROWS_WITH_AS(check_torch("f", true, "2.12.0", "2.13.0"),
                         doctest::Contains("was made with PyTorch 2.12.0, and this is 2.13.0"), ArtifactError);
    CHECK_THROWS_AS(check_torch("f", false, "2.14.0", "2.13.0"), ArtifactError);
  }

  TEST_CASE("a package for another PyTorch or CPU is refused unloaded") {
    refused(made("other-torch.aoti.pt2"), "was made with PyTorch 1.0.0");
    refused(made("other-isa.aoti.pt2"), "was compiled for riscv128, and this CPU has");
  }
}
