// Images of backups, made and written by QEMU's tools: qemu-img makes one, qemu-nbd serves it to
// the copy (block_copy.hpp) on a socket in a private directory.
// Thread: the command line's; blocks.
#pragma once

#include "cli/backup_record.hpp"
#include "cli/block_copy.hpp"
#include "cli/tool.hpp"

namespace everstep::cli {

inline constexpr Tool kQemuImg{"qemu-img", "qemu-utils"};
inline constexpr Tool kQemuNbd{"qemu-nbd", "qemu-utils"};

struct ImageSpec {
    std::string file;  // absolute, as all paths here; it is there and empty
    ImageFormat format = ImageFormat::qcow2;
    ByteCount size;
    std::string base;  // as it is to stand in the image; empty: none
    ImageFormat base_format = ImageFormat::qcow2;
};
// It reads as zeroes, or as its base. io: what qemu-img said.
[[nodiscard]] Status make_image(const ImageSpec& spec);

// Serves one image to one client, and ends when that is gone, or this program, also if it is
// killed.
class ImageServer {
  public:
    // io: it could not be started, or ended at once, and what it said.
    enum class Access : std::uint8_t { read, write };
    [[nodiscard]] static Result<ImageServer> start(const std::string& file, ImageFormat format,
                                                   Access access);
    ImageServer(ImageServer&& other) noexcept;
    ImageServer& operator=(ImageServer&&) = delete;
    ~ImageServer();  // ends it, without waiting for what it has not written

    // The only client that it takes. timeout: it does not serve; closed: interrupted.
    [[nodiscard]] Result<NbdDisk> connect();
    // Its client is gone: waits until the image is closed. io: that failed, and what it said.
    [[nodiscard]] Status end();
    // The error, with what the server said where it has ended by itself.
    [[nodiscard]] Status explained(const Status& why);

  private:
    ImageServer(std::string file, std::string place);
    [[nodiscard]] bool has_ended();
    [[nodiscard]] std::string said() const;
    void leave_place();

    std::string file_;
    std::string place_;  // the private directory; empty: it is not needed any more
    int log_ = -1;       // what the server says
    int pid_ = -1;       // -1: none, or ended
    int status_ = 0;     // of its end, as waitpid() gives it
};

}  // namespace everstep::cli
