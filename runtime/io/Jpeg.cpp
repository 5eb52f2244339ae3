#include "runtime/core/Error.h"
#include "runtime/io/Image.h"
#include "runtime/io/ImageCodecs.h"

#include <fmt/format.h>

#include <csetjmp>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>

namespace moec {

namespace {

/// A progressive file can make the decoder walk over all pixels once per scan; real ones have about ten.
constexpr int kMaxScans = 100;

/// The library reports through this struct and leaves through the jump; what stands between owns nothing but the
/// decoder.
struct Reports {
  jpeg_error_mgr base; // first: the library hands back a pointer to it
  std::jmp_buf leave;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void onError(j_common_ptr info) {
  auto* reports = reinterpret_cast<Reports*>(info->err);
  info->err->format_message(info, reports->message);
  std::longjmp(reports->leave, 1);
}

/// The library calls damage a warning and invents pixels; here it is an error. Harmless remarks pass.
void onMessage(j_common_ptr info, int level) {
  int code = info->err->msg_code;
  bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM || code == JWRN_TOO_MUCH_DATA;
  if (level < 0 && !harmless)
    onError(info);
}

void onProgress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
    std::snprintf(reinterpret_cast<Reports*>(info->err)->message, JMSG_LENGTH_MAX, "more than %d scans", kMaxScans);
    std::longjmp(reinterpret_cast<Reports*>(info->err)->leave, 1);
  }
}

struct Decoder {
  jpeg_decompress_struct info{};
  Reports reports{};
  jpeg_progress_mgr progress{};

  Decoder() {
    info.err = jpeg_std_error(&reports.base);
    reports.base.error_exit = onError;
    reports.base.emit_message = onMessage;
    progress.progress_monitor = onProgress;
  }
  ~Decoder() { jpeg_destroy_decompress(&info); }

  bool readHeader(std::span<const uint8_t> bytes) {
    if (setjmp(reports.leave))
      return false;
    jpeg_create_decompress(&info);
    info.progress = &progress;
    jpeg_mem_src(&info, bytes.data(), bytes.size());
    jpeg_read_header(&info, TRUE);
    return true;
  }

  bool readPixels(uint8_t* out) {
    if (setjmp(reports.leave))
      return false;
    info.out_color_space = JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = out + size_t{info.output_scanline} * info.output_width * 3;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    return true;
  }
};

} // namespace

Tensor decodeJpeg(std::span<const uint8_t> bytes, const std::string& where) {
  Decoder decoder;
  auto damaged = [&] { return Error(Fault::Data, fmt::format("{}: damaged JPEG: {}", where, decoder.reports.message)); };
  if (!decoder.readHeader(bytes))
    throw damaged();
  checkPixels(decoder.info.image_width, decoder.info.image_height, where);
  if (decoder.info.num_components != 1 && decoder.info.num_components != 3)
    throw Error(Fault::Data, fmt::format("{}: a JPEG with {} colour channels (CMYK?); expected 1 or 3", where, decoder.info.num_components));
  Tensor result(DType::U8, {decoder.info.image_height, decoder.info.image_width, 3});
  if (!decoder.readPixels(static_cast<uint8_t*>(result.data())))
    throw damaged();
  return result;
}

} // namespace moec
