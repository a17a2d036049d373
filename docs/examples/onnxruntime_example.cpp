// Find objects in a picture with ONNX Runtime's C++ API.
//
//   g++ -std=c++17 -O2 onnxruntime_example.cpp -I$ORT/include -L$ORT/lib -lonnxruntime
//   magick photo.jpg photo.ppm        # a binary PPM (P6)
//   ./a.out best.onnx photo.ppm 0.5   # the least score of an object
//
// Prints the objects and writes found.ppm. Written for files of `python -m tools.export --format
// onnx` that take images of any size; it needs nothing but ONNX Runtime 1.16 or newer.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> pixels;  // RGB, row by row
};

Picture read_ppm(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  int most = 0;
  Picture picture;
  file >> kind >> picture.width >> picture.height >> most;
  file.get();
  if (!file || kind != "P6" || most != 255) throw std::runtime_error(std::string(path) + ": no P6");
  picture.pixels.resize(picture.width * picture.height * 3);
  file.read(reinterpret_cast<char*>(picture.pixels.data()), picture.pixels.size());
  return picture;
}

// The number in a mask (side x side, with a border of zeros) at a place between its cells.
float bilinear(const float* mask, int side, float y, float x) {
  auto at = [&](int row, int column) {
    bool inside = row >= 1 && row <= side && column >= 1 && column <= side;
    return inside ? mask[(row - 1) * side + column - 1] : 0.0f;
  };
  y = std::clamp(y, 0.0f, side + 1.0f), x = std::clamp(x, 0.0f, side + 1.0f);
  int top = static_cast<int>(y), left = static_cast<int>(x);
  float below = y - top, right = x - left;
  return (1 - below) * ((1 - right) * at(top, left) + right * at(top, left + 1)) +
         below * ((1 - right) * at(top + 1, left) + right * at(top + 1, left + 1));
}

// Marks the pixels of a mask within its box, as torchvision pastes it; returns how many there are.
int mark(Picture& picture, const float* mask, int side, const float* box) {
  float grow = static_cast<float>((side + 2.0) / side);
  int64_t low[2], length[2], first[2], end[2];  // of x and y; the last two within the picture
  for (int axis : {0, 1}) {
    float middle = (box[axis] + box[axis + 2]) * 0.5f;
    float half = (box[axis + 2] - box[axis]) * 0.5f * grow;
    low[axis] = static_cast<int64_t>(middle - half);
    length[axis] = std::max<int64_t>(static_cast<int64_t>(middle + half) - low[axis] + 1, 1);
    first[axis] = std::max<int64_t>(low[axis], 0);
    end[axis] = std::min(low[axis] + length[axis], axis ? picture.height : picture.width);
  }
  int count = 0;
  for (int64_t y = first[1]; y < end[1]; ++y)
    for (int64_t x = first[0]; x < end[0]; ++x) {
      float row = (y - low[1] + 0.5f) * (side + 2) / length[1] - 0.5f;
      float column = (x - low[0] + 0.5f) * (side + 2) / length[0] - 0.5f;
      if (bilinear(mask, side, row, column) < 0.5f) continue;
      uint8_t* pixel = &picture.pixels[(y * picture.width + x) * 3];
      pixel[0] = pixel[0] / 2 + 127, pixel[1] = pixel[1] / 2 + 32, pixel[2] = pixel[2] / 2 + 32;
      ++count;
    }
  return count;
}

int main(int count, char** arguments) {
  if (count != 4) return std::fprintf(stderr, "usage: MODEL.onnx PHOTO.ppm LEAST_SCORE\n"), 2;
  Picture picture = read_ppm(arguments[2]);
  float least = std::stof(arguments[3]);

  Ort::Env env;
  Ort::Session session(env, arguments[1], Ort::SessionOptions{});  // on Windows a wide string
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::ModelMetadata metadata = session.GetModelMetadata();
  auto card = metadata.LookupCustomMetadataMapAllocated("maskrcnn_finetune", allocator);
  std::printf("%s\n", card.get());  // JSON: class names, thresholds; see docs/export.md

  const int64_t shape[] = {1, picture.height, picture.width, 3};
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto images = Ort::Value::CreateTensor<uint8_t>(memory, picture.pixels.data(),
                                                  picture.pixels.size(), shape, 4);
  const char* inputs[] = {"images"};
  const char* outputs[] = {"boxes", "labels", "scores", "masks", "counts"};
  auto found = session.Run(Ort::RunOptions{nullptr}, inputs, &images, 1, outputs, 5);

  const float* boxes = found[0].GetTensorData<float>();
  const int64_t* labels = found[1].GetTensorData<int64_t>();
  const float* scores = found[2].GetTensorData<float>();
  const float* masks = found[3].GetTensorData<float>();
  int side = static_cast<int>(found[3].GetTensorTypeAndShapeInfo().GetShape()[3]);
  for (int64_t n = 0; n < found[4].GetTensorData<int64_t>()[0] && scores[n] >= least; ++n) {
    int pixels = mark(picture, masks + n * side * side, side, boxes + n * 4);
    std::printf("%d %.4f box %.1f %.1f %.1f %.1f pixels %d\n", static_cast<int>(labels[n]),
                scores[n], boxes[n * 4], boxes[n * 4 + 1], boxes[n * 4 + 2], boxes[n * 4 + 3],
                pixels);
  }
  std::ofstream result("found.ppm", std::ios::binary);
  result << "P6\n" << picture.width << " " << picture.height << "\n255\n";
  result.write(reinterpret_cast<const char*>(picture.pixels.data()), picture.pixels.size());
}
