#include "cli/backup_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

namespace everstep::cli {
namespace {

constexpr mode_t kMode = 0600;  // it holds all that the disk held

std::string record_of(const std::string& file) {
    return file + std::string(kRecordSuffix);
}

Status sync_path(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd < 0) return status_from_errno(errno, "open", path);
    const int error = ::fsync(fd) == 0 ? 0 : errno;
    ::close(fd);
    return error == 0 ? Status() : status_from_errno(error, "fsync", path);
}

Status sync_directory_of(const std::string& file) {
    return sync_path(std::filesystem::path(file).parent_path().string(), O_RDONLY | O_DIRECTORY);
}

Status move(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0)
        return status_from_errno(errno, "rename to " + to, from);
    return sync_directory_of(to);
}

Status write_all(int fd, const std::string& text, const std::string& path) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t count =
            ::pwrite(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return status_from_errno(count < 0 ? errno : EIO, "write", path);
        done += static_cast<std::size_t>(count);
    }
    return {};
}

bool is_there(const std::string& path) {
    struct stat seen {};
    return ::lstat(path.c_str(), &seen) == 0;
}

Status check_place(const std::string& file, bool force) {
    struct stat seen {};
    for (const std::string& one : {file, record_of(file)}) {
        if (::lstat(one.c_str(), &seen) != 0) {
            if (errno == ENOENT) continue;
            return status_from_errno(errno, "look", one);
        }
        if (!S_ISREG(seen.st_mode))
            return {ErrorCode::refused, one + " is there and no plain file; name another one"};
        if (!force)
            return {ErrorCode::refused,
                    one + " is there; name another file, or write over it with --force"};
    }
    return {};
}

bool is_at(int fd, const std::string& path) {
    struct stat held {};
    struct stat there {};
    return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &there) == 0 &&
           held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

// One that was renamed or removed by its holder between open and lock is none any more.
Result<int> lock_file(const std::string& path) {
    while (true) {
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kMode);
        if (fd < 0) return status_from_errno(errno, "open", path);
        const int error = ::flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (error == 0 && is_at(fd, path)) return fd;
        ::close(fd);
        if (error == EWOULDBLOCK)
            return Status(ErrorCode::busy,
                          path + " is locked: another backup to this file is under way");
        if (error != 0) return status_from_errno(error, "flock", path);
    }
}

Status held_by_another(const std::string& image, RecordLock::Kind kind) {
    const char* const what =
        kind == RecordLock::Kind::base
            ? "another backup is about to write over it: wait for that, or name another base"
            : "another backup is being made over it: wait for that, or write to another file";
    return {ErrorCode::busy, image + ": " + what};
}

}  // namespace

Result<RecordLock> RecordLock::take(const std::string& image, Kind kind) {
    const std::string path = record_of(image);
    const bool alone = kind == Kind::written_over;
    while (true) {
        const int fd = ::open(path.c_str(), (alone ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) return status_from_errno(errno, "open", path);
        RecordLock lock(fd);
        if (::flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK) return held_by_another(image, kind);
            return status_from_errno(errno, "flock", path);
        }
        if (is_at(fd, path)) return lock;
    }
}

RecordLock::RecordLock(RecordLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

RecordLock::~RecordLock() {
    if (fd_ >= 0) ::close(fd_);
}

BackupFile::BackupFile(std::string file, int lock)
    : file_(std::move(file)),
      part_(file_ + ".part"),
      record_part_(record_of(file_) + ".part"),
      lock_(lock) {}

BackupFile::BackupFile(BackupFile&& other) noexcept
    : file_(std::move(other.file_)),
      part_(std::move(other.part_)),
      record_part_(std::move(other.record_part_)),
      left_(std::move(other.left_)),
      lock_(std::exchange(other.lock_, -1)),
      over_(std::move(other.over_)),
      done_(other.done_) {}

BackupFile::~BackupFile() {
    if (lock_ < 0) return;
    if (!done_) {
        ::unlink(part_.c_str());
        ::unlink(record_part_.c_str());
    }
    ::close(lock_);
}

Result<BackupFile> BackupFile::begin(const std::string& file, bool force) {
    EVERSTEP_TRY(check_place(file, force));
    const std::string lock_path = record_of(file) + ".part";
    const bool was_left = is_there(lock_path);
    const Result<int> lock = lock_file(lock_path);
    if (!lock.ok()) return lock.status();
    if (!was_left && is_there(file + ".part")) {
        ::unlink(lock_path.c_str());
        ::close(*lock);
        return Status(ErrorCode::refused, file +
                                              ".part is there, and no backup has left it: move "
                                              "it away, or name another file");
    }
    BackupFile out(file, *lock);
    out.left_.resize(kRecordBytesMax);
    const ssize_t count = ::pread(*lock, out.left_.data(), out.left_.size(), 0);
    out.left_.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    EVERSTEP_TRY(check_place(file, force));  // who held the lock before may have made it
    Result<RecordLock> over = RecordLock::take(file, RecordLock::Kind::written_over);
    if (over.ok())
        out.over_.emplace(std::move(*over));
    else if (over.status().code() != ErrorCode::not_found)
        return over.status();
    if (::unlink(out.part_.c_str()) != 0 && errno != ENOENT)
        return status_from_errno(errno, "remove", out.part_);
    const int fd = ::open(out.part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
    if (fd < 0) return status_from_errno(errno, "create", out.part_);
    ::close(fd);
    return out;
}

Status BackupFile::note(const std::string& text) const {
    if (::ftruncate(lock_, 0) != 0) return status_from_errno(errno, "truncate", record_part_);
    return write_all(lock_, text, record_part_);
}

Status BackupFile::publish(const BackupRecord& record) {
    EVERSTEP_TRY(sync_path(part_, O_RDWR));
    EVERSTEP_TRY(note(backup_record_text(record)));
    if (::fsync(lock_) != 0) return status_from_errno(errno, "fsync", record_part_);
    const std::string place = record_of(file_);
    if (::unlink(place.c_str()) != 0 && errno != ENOENT)
        return status_from_errno(errno, "remove", place);
    EVERSTEP_TRY(sync_directory_of(file_));
    EVERSTEP_TRY(move(part_, file_));
    const Status named = move(record_part_, place);
    if (!named.ok()) return named.with_context(file_ + " is whole, but its record is not there");
    done_ = true;
    return {};
}

}  // namespace everstep::cli
