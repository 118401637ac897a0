#include <doctest.h>
#include <frames.h>
#include <modelferry/errors.h>

#include <cstdio>
#include <memory>

#include "samples.h"

using modelferry::run::BrokenStream;
using modelferry::run::repeats;
using nlohmann::json;

namespace {

std::optional<modelferry::run::Frame> read(std::string bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(fmemopen(bytes.data(), bytes.size(), "rb"), &std::fclose);
  return modelferry::run::read_frame(stream.get());
}

void broken(const std::string& bytes, const std::string& reason) {
  CHECK_THROWS_WITH_AS(read(bytes), doctest::Contains(reason.c_str()), BrokenStream);
}

}  // namespace

TEST_SUITE("frames") {
  TEST_CASE("a header and the values behind it are a frame") {
    const auto frame = read("{\"tensors\": [{\"name\": \"x\", \"dtype\": \"uint8\", \"shape\": [2]}]}\nab");
    REQUIRE(frame);
    CHECK((at::equal(frame->tensors["x"], at::tensor({97, 98}, at::kByte))));
  }

  TEST_CASE("a tensor without values is read and written") {
    const auto frame = read("{\"tensors\": [{\"name\": \"x\", \"dtype\": \"float32\", \"shape\": [0, 2]}]}\n");
    REQUIRE(frame);
    char* bytes = nullptr;
    std::size_t size = 0;
    std::FILE* out = open_memstream(&bytes, &size);
    modelferry::run::write_frame(out, {}, frame->tensors);
    std::fclose(out);
    CHECK(std::string(bytes, size) == "{\"tensors\":[{\"dtype\":\"float32\",\"name\":\"x\",\"shape\":[0,2]}]}\n");
    std::free(bytes);
  }

  TEST_CASE("what is no frame is a broken stream") {
    broken("[]\n", "header of a frame cannot be read");
    broken("{}\n", "header of a frame cannot be read");
    broken(std::string(100'000, '['), "ends within a header");
    broken(std::string(100'000, '[') + '\n', "more than 100 levels");
    broken(std::string(2 << 20, ' '), "more than a million letters");
    const auto tensor = [](const std::string& dtype, const std::string& sizes) {
      return "{\"tensors\": [{\"name\": \"x\", \"dtype\": " + dtype + ", \"shape\": " + sizes + "}]}\n";
    };
    broken(tensor("\"float16\"", "[1]"), "unknown dtype 'float16'");
    broken(tensor("16", "[1]"), "cannot be read");
    for (const char* sizes : {"[-1]", "[1e300]", "[4611686018427387904, 4]", "[4611686018427387904]", "[2.5]", "7"}) {
      CAPTURE(sizes);
      CHECK_THROWS_AS(read(tensor("\"float32\"", sizes)), BrokenStream);
    }
    broken(tensor("\"float32\"", "[3]") + "abc", "ends within a tensor");
  }

  TEST_CASE("a model is run from one to a million times") {
    CHECK(repeats(json::object()) == 1);
    CHECK(repeats(json{{"repeat", 3}}) == 3);
    for (const json& wrong : {json(0), json(-1), json(1'000'001), json(1.5), json(1e300), json("2"), json()}) {
      CAPTURE(wrong.dump());
      CHECK_THROWS_WITH_AS(repeats(json{{"repeat", wrong}}), doctest::Contains("'repeat'"), modelferry::ContractError);
    }
  }
}
