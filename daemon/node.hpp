// Node: one everstepd: its loop, its listener for other nodes, its admin socket, its groups.
// Thread: start() before run(); run() is the node's loop. SIGTERM and SIGINT stop it cleanly;
// SIGHUP reads the certificates again, and of the configuration what can change (reload.hpp).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "daemon/admin_server.hpp"
#include "daemon/group.hpp"
#include "daemon/relay.hpp"

namespace everstep::daemon {

// The certificate, key and CA of `node` fit together; an error names file, line and key of the
// configuration.
[[nodiscard]] Status check_tls(const Config& config, const std::string& node);

class Node {
  public:
    Node(Config config, std::string name);
    ~Node();
    // Errors name the object: state directory in use, address taken, bad certificate.
    [[nodiscard]] Status start();
    void run();

  private:
    [[nodiscard]] Status open_state();
    [[nodiscard]] Status load_tls();
    [[nodiscard]] Status listen();
    void start_groups();
    void make_group(const GroupConfig& group, bool left);
    void find_left();
    void on_signal(int signal);
    void reload_config();
    void take_settings(const Config& read);
    void reload_tls();
    void forget_removed(const std::vector<std::string>& names);
    void stop();
    // links from other nodes (node_links.cpp)
    void accepted(net::StreamPtr stream);
    [[nodiscard]] std::vector<std::uint64_t> links_of(const std::string& peer, bool greeted) const;
    [[nodiscard]] Status greeted(std::uint64_t id, const wire::Hello& hello);
    void relayed(std::uint64_t id, const wire::AdminRequest& request);
    void drop(std::uint64_t id);
    [[nodiscard]] wire::Hello hello() const;
    // commands (node_commands.cpp)
    void run_command(const wire::AdminRequest& request, bool relayed, AdminAnswer answer);
    void run_for_group(const wire::AdminRequest& request, bool relayed, const AdminAnswer& answer);
    void relay(const std::string& node, const wire::AdminRequest& request, AdminAnswer answer);
    [[nodiscard]] std::string exports_node(const std::string& group) const;
    void exports(const wire::AdminRequest& request, bool relayed, const AdminAnswer& answer);
    void events(const wire::AdminRequest& request, const AdminAnswer& answer);
    // `group apply` (node_apply.cpp)
    struct Apply;
    void group_apply(const wire::AdminRequest& request, bool relayed, const AdminAnswer& answer);
    void ask_members(const std::shared_ptr<Apply>& job);
    void plan(const std::shared_ptr<Apply>& job);
    void take_plan(const std::shared_ptr<Apply>& job);
    void tell_members(const std::shared_ptr<Apply>& job);
    [[nodiscard]] Result<Config> read_again() const;
    [[nodiscard]] Status take_section(const Config& read, const std::string& group);
    void point_anew();
    [[nodiscard]] Status listen_anew();
    void group_look(const wire::AdminRequest& request, const AdminAnswer& answer);
    void group_take(const wire::AdminRequest& request, const AdminAnswer& answer);
    void join(const std::string& group, const AdminAnswer& answer);
    [[nodiscard]] wire::AdminReply no_group(const std::string& group) const;
    [[nodiscard]] wire::AdminReply status(const std::string& group) const;

    Config config_;
    std::string name_;
    const NodeConfig* self_ = nullptr;
    Uuid id_;
    net::Loop loop_;
    std::unique_ptr<io::File> lock_;
    Events events_;
    std::shared_ptr<net::TlsContext> tls_;
    std::set<std::string> removed_;  // nodes that the newest configuration does not have
    std::unique_ptr<Exports> exports_;
    std::unique_ptr<RelayClient> relay_;
    std::map<std::string, std::unique_ptr<GroupConfig>> left_;  // sections of groups that it left
    std::map<std::string, std::unique_ptr<Group>> groups_;
    bool applying_ = false;
    struct Greeting {
        std::unique_ptr<Link> link;
        AdminClient requests;  // of a link that relays
        bool greeted = false;
        std::unique_ptr<net::Timer> deadline{};  // for its Hello
    };
    std::map<std::uint64_t, Greeting> greeting_;  // links before their Hello, and relaying ones
    std::uint64_t next_link_ = 1;
    std::unique_ptr<net::Listener> listener_;
    std::unique_ptr<AdminServer> admin_;
    std::unique_ptr<net::Signals> signals_;
    std::size_t stopping_ = 0;
    bool stopped_ = false;
};

}  // namespace everstep::daemon
