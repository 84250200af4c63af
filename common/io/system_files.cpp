// The machine's own FileSystem: names and directories. What happens to an open file is
// posix_file.cpp's.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "common/io/posix_file.hpp"

namespace everstep::io {
namespace {

[[nodiscard]] std::string parent_of(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return ".";
    return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

[[nodiscard]] std::string without_trailing_slashes(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}

// True when it was made, false when it was there.
[[nodiscard]] Result<bool> make_one_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0) return true;
    const int error = errno;
    struct stat facts {};
    if (::stat(path.c_str(), &facts) == 0) {
        if (S_ISDIR(facts.st_mode)) return false;
        return Status(ErrorCode::exists, path + ": exists and is no directory");
    }
    return status_from_errno(error, "make directory", path);
}

class SystemFiles final : public FileSystem {
  public:
    [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path,
                                                     const OpenOptions& options) override {
        return PosixFile::open(path, options);
    }

    [[nodiscard]] Status make_directory(const std::string& path) override {
        const std::string wanted = without_trailing_slashes(path);
        // From the top down, each name durable before anything is put below it. The last parent is
        // synced even when the directory was there: whoever made it may have died before its sync.
        for (std::size_t end = wanted.find('/', 1);; end = wanted.find('/', end + 1)) {
            const std::string one = wanted.substr(0, end);
            const auto made = make_one_directory(one);
            if (!made.ok()) return made.status();
            if (*made || end == std::string::npos) EVERSTEP_TRY(sync_directory(parent_of(one)));
            if (end == std::string::npos) return {};
        }
    }

    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override {
        if (::rename(from.c_str(), to.c_str()) == 0) return {};
        return status_from_errno(errno, "rename to " + to, from);
    }

    [[nodiscard]] Status remove(const std::string& path) override {
        if (std::remove(path.c_str()) == 0) return {};
        return status_from_errno(errno, "remove", path);
    }

    [[nodiscard]] Status sync_directory(const std::string& path) override {
        const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!fd.valid()) return status_from_errno(errno, "open directory", path);
        while (::fsync(fd.get()) != 0) {
            // Some file systems have nothing to sync in a directory and say so.
            if (errno == EINVAL) return {};
            if (errno != EINTR) return status_from_errno(errno, "sync directory", path);
        }
        return {};
    }

    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override {
        DIR* directory = ::opendir(path.c_str());
        if (directory == nullptr) return status_from_errno(errno, "list", path);
        std::vector<std::string> names;
        int error = 0;
        for (;;) {
            errno = 0;
            const dirent* entry = ::readdir(directory);
            if (entry == nullptr) {
                error = errno;
                break;
            }
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") names.emplace_back(name);
        }
        ::closedir(directory);
        if (error != 0) return status_from_errno(error, "list", path);
        std::sort(names.begin(), names.end());
        return names;
    }

    [[nodiscard]] Result<bool> exists(const std::string& path) const override {
        struct stat facts {};
        if (::stat(path.c_str(), &facts) == 0) return true;
        if (errno == ENOENT || errno == ENOTDIR) return false;
        return status_from_errno(errno, "stat", path);
    }
};

}  // namespace

Result<ByteCount> FileSystem::free_bytes(const std::string& path) const {
    struct statvfs facts {};
    while (::statvfs(path.c_str(), &facts) != 0)
        if (errno != EINTR) return status_from_errno(errno, "statvfs", path);
    return ByteCount(std::uint64_t{facts.f_bavail} * facts.f_frsize);
}

FileSystem& system_files() {
    static SystemFiles files;
    return files;
}

}  // namespace everstep::io
