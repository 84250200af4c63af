#include "daemon/node.hpp"

#include <algorithm>
#include <csignal>

#include "common/base/log.hpp"
#include "common/io/boot.hpp"
#include "daemon/kept_section.hpp"
#include "daemon/reload.hpp"

namespace everstep::daemon {

Node::Node(Config config, std::string name)
    : config_(std::move(config)),
      name_(std::move(name)),
      self_(config_.node(name_)),
      events_(name_, system_clock()) {}

Node::~Node() = default;

Status Node::open_state() {
    io::FileSystem& files = io::system_files();
    EVERSTEP_TRY(files.make_directory(self_->state));
    EVERSTEP_TRY(files.make_directory(self_->state + "/groups"));
    EVERSTEP_TRY(files.make_directory(self_->state + "/exports"));
    const std::string lock = self_->state + "/lock";
    const auto there = files.exists(lock);
    if (!there.ok()) return there.status();
    auto file =
        files.open(lock, {*there ? io::OpenMode::read_write : io::OpenMode::create, true, false});
    if (!file.ok())
        return file.status().with_context("another everstepd may run on this state directory");
    lock_ = std::move(*file);
    const std::string path = self_->state + "/node";
    const Result<std::string> text = io::load_state(files, path);
    if (text.status().code() == ErrorCode::not_found) {
        id_ = Uuid::random();
        return io::save_state(files, path, "node " + name_ + " " + id_.hex() + "\n");
    }
    if (!text.ok()) return text.status();
    const std::string prefix = "node " + name_ + " ";
    if (!text->starts_with(prefix) || !Uuid::parse(text->substr(prefix.size(), 32), id_)) {
        return Status(ErrorCode::refused,
                      path + ": this state directory is of another node: found '" +
                          text->substr(0, text->find('\n')) + "', wanted node " + name_);
    }
    return {};
}

Status check_tls(const Config& config, const std::string& node) {
    const NodeConfig& self = *config.node(node);
    const auto tls = net::TlsContext::make({config.ca, self.certificate, self.key});
    if (tls.ok()) return {};
    const std::string why = tls.status().message();
    const std::string key = why.find(config.ca) != std::string::npos ? "tls.ca"
                            : why.find(self.key) != std::string::npos
                                ? "node." + node + ".key"
                                : "node." + node + ".certificate";
    return {ErrorCode::usage, config_place(config, key) + ": " + why};
}

Status Node::load_tls() {
    auto tls = net::TlsContext::make({config_.ca, self_->certificate, self_->key});
    if (!tls.ok()) return tls.status();
    tls_ = *tls;
    return {};
}

Status Node::listen() {
    std::vector<std::string> names;
    for (const NodeConfig& node : config_.nodes) {
        if (node.name != name_ && !removed_.contains(node.name)) names.push_back(node.name);
    }
    auto listener = net::Listener::make(
        loop_, self_->address, tls_, names,
        [this](net::StreamPtr stream) { accepted(std::move(stream)); },
        [this](const std::string& address, const Status& why) {
            events_.add("", "alarm-peer", "refused " + address + ": " + why.message());
        });
    if (!listener.ok()) return listener.status().with_context("node " + name_ + ": address");
    listener_ = std::move(*listener);
    return {};
}

Status Node::start() {
    EVERSTEP_TRY(open_state());
    EVERSTEP_TRY(load_tls());
    exports_ = std::make_unique<Exports>(io::system_files(), self_->state + "/exports");
    if (const Status known = exports_->load_ids(); !known.ok())
        events_.add("", "alarm-state", known.message());
    relay_ = std::make_unique<RelayClient>(loop_, tls_, hello());
    start_groups();
    EVERSTEP_TRY(listen());
    auto admin = AdminServer::make(loop_, self_->state + "/admin.sock",
                                   [this](const wire::AdminRequest& request, AdminAnswer answer) {
                                       run_command(request, false, std::move(answer));
                                   });
    if (!admin.ok()) return admin.status();
    admin_ = std::move(*admin);
    signals_ = std::make_unique<net::Signals>(loop_, [this](int signal) { on_signal(signal); });
    events_.add("", "started", "node " + name_ + " at " + listener_->address());
    return {};
}

void Node::make_group(const GroupConfig& group, bool left) {
    GroupContext context;
    context.loop = &loop_;
    context.files = &io::system_files();
    context.clock = &system_clock();
    context.config = &config_;
    context.group = &group;
    context.node = name_;
    context.node_id = id_;
    context.boot = io::machine_boot();
    context.directory = self_->state + "/groups/" + group.name;
    context.tls = tls_;
    context.events = &events_;
    context.removed = &removed_;
    context.compression->set(group.compression);
    if (left) context.left = left_text(context);
    groups_[group.name] = std::make_unique<Group>(
        std::move(context), *exports_,
        [this](const std::string& node, const wire::AdminRequest& request, AdminAnswer answer) {
            relay(node, request, std::move(answer));
        });
}

// Groups that this node had a part in.
void Node::find_left() {
    const std::string directory = self_->state + "/groups";
    const auto names = io::system_files().list(directory);
    if (!names.ok()) return;
    for (const std::string& name : *names) {
        if (groups_.contains(name)) continue;
        Result<GroupConfig> section = kept_section(io::system_files(), directory + "/" + name);
        if (!section.ok() || section->name != name) continue;
        left_[name] = std::make_unique<GroupConfig>(std::move(*section));
        make_group(*left_[name], true);
    }
}

void Node::start_groups() {
    for (const GroupConfig& group : config_.groups) {
        const std::vector<std::string> members = group.members();
        if (std::find(members.begin(), members.end(), name_) != members.end())
            make_group(group, false);
    }
    find_left();
    loop_.post([this] {
        for (auto& [name, group] : groups_) group->start();
    });
}

void Node::run() {
    loop_.run();
}

void Node::on_signal(int signal) {
    if (signal != SIGHUP) return stop();
    reload_config();
    reload_tls();
}

// One that cannot be read changes nothing; the certificates are read all the same.
void Node::reload_config() {
    const Result<Config> read = load_config(config_.file);
    if (!read.ok()) {
        events_.add("", "alarm-reload",
                    read.status().message() + "; the configuration stays as it was");
        return;
    }
    take_settings(*read);
}

void Node::take_settings(const Config& read) {
    const Reload change = take_over(config_, read);
    for (const Reload::Key& key : change.taken) {
        if (!groups_.contains(key.group)) continue;  // this node is no member
        events_.add(key.group, "reload", key.text);
    }
    for (auto& [name, group] : groups_) group->reconfigure();
    for (const std::string& key : change.restart)
        events_.add("", "reload", key + " has changed: " + what_takes(key, config_, read, name_));
    const std::set<std::string> before = removed_;
    forget_removed(change.removed);
    if (removed_ == before) return;
    const Status heard = listen_anew();
    if (!heard.ok()) events_.add("", "alarm-reload", heard.message());
}

// Their certificates are as good as before, so it is their names that are refused from here on: by
// the listener, which is made anew, and by the groups' links within a keepalive.
void Node::forget_removed(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        if (name == name_) {
            events_.add("", "reload", "node." + name + " has changed: it needs a restart");
            continue;
        }
        if (!removed_.contains(name))
            events_.add("", "reload", "node." + name + " is gone: it is refused from here on");
        for (const bool greeted : {false, true})
            for (const std::uint64_t id : links_of(name, greeted)) drop(id);
    }
    removed_ = {names.begin(), names.end()};
    removed_.erase(name_);
}

void Node::reload_tls() {
    const std::shared_ptr<net::TlsContext> before = tls_;
    Status status = load_tls();
    if (status.ok()) {
        listener_.reset();
        status = listen();
    }
    if (!status.ok()) {
        tls_ = before;
        events_.add("", "alarm-reload", status.message());
        if (!listener_) listen().ignore("told a line above");
        return;
    }
    relay_->set_tls(tls_);
    for (auto& [name, group] : groups_) group->context().tls = tls_;
    events_.add("", "reload", "certificates were read again");
}

void Node::stop() {
    if (stopped_) return;
    stopped_ = true;
    events_.add("", "stopping", "node " + name_);
    listener_.reset();
    stopping_ = groups_.size();
    const auto end = [this] {
        admin_.reset();
        greeting_.clear();
        relay_.reset();
        groups_.clear();
        exports_.reset();
        log_info("stopped");
        loop_.stop();
    };
    if (stopping_ == 0) {
        loop_.post(end);
        return;
    }
    for (auto& [name, group] : groups_) {
        group->stop([this, end] {
            if (--stopping_ == 0) loop_.post(end);
        });
    }
}

}  // namespace everstep::daemon
