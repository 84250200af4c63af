#include "daemon/exports.hpp"

#include <future>

namespace everstep::daemon {

Exports::Exports(std::string directory)
    : directory_(std::move(directory)), thread_([this] { loop_.run(); }) {}

Exports::~Exports() {
    on_loop([this] { exports_.clear(); });
    loop_.stop();
    thread_.join();
}

void Exports::on_loop(const std::function<void()>& work) {
    std::promise<void> done;
    loop_.post([&] {
        work();
        done.set_value();
    });
    done.get_future().get();
}

Status Exports::serve(Export& one, const standby::Standby& standby, const ExportRequest& request,
                      const std::string& id) {
    auto hold = standby.store().hold(request.point, journal::HoldKind::lasting);
    if (!hold.ok()) return hold.status();
    one.hold = std::move(*hold);
    const Result<journal::View> view = standby.store().view(request.point);
    if (!view.ok()) return view.status();
    Value uris = Value::map();
    Value first;
    for (const auto& [index, volume] : request.volumes) {
        auto device = standby::make_export_device(standby, loop_, *view, index, volume.size);
        std::string path = directory_ + "/" + id + "-" + volume.name + ".sock";
        if (!request.socket.empty()) {
            path =
                request.volumes.size() == 1 ? request.socket : request.socket + "." + volume.name;
        }
        auto server = NbdServer::make(
            loop_, "unix:" + path,
            {{volume.name, "everstep export " + id + " of " + request.group, device.get()}});
        if (!server.ok()) return server.status().with_context("volume " + volume.name);
        if (first.is_null()) first = (*server)->uri();
        uris.set(volume.name, (*server)->uri());
        one.devices.push_back(std::move(device));
        one.servers.push_back(std::move(*server));
    }
    one.told = Value::map();
    one.told.set("id", id);
    one.told.set("group", request.group);
    one.told.set("uri", first);
    one.told.set("uris", uris);
    one.told.set("lsn", request.point.lsn.value());
    one.told.set("timeline", request.point.timeline.hex());
    one.told.set("writable", false);
    return {};
}

Result<Value> Exports::add(const standby::Standby& standby, const ExportRequest& request) {
    const std::string id = std::to_string(next_id_++);
    Export one;
    one.group = request.group;
    Status status;
    on_loop([&] {
        status = serve(one, standby, request, id);
        if (!status.ok()) {
            one.servers.clear();
            one.devices.clear();
        }
    });
    if (!status.ok()) return status;
    Value told = one.told;
    exports_[id] = std::move(one);
    return told;
}

Status Exports::remove(const std::string& id) {
    const auto at = exports_.find(id);
    if (at == exports_.end())
        return Status(ErrorCode::not_found,
                      "no export has the id " + id + "; `everstep exports` lists them");
    on_loop([&] {
        at->second.servers.clear();
        at->second.devices.clear();
    });
    exports_.erase(at);
    return {};
}

void Exports::remove_group(const std::string& group) {
    std::vector<std::string> ids;
    for (const auto& [id, one] : exports_) {
        if (one.group == group) ids.push_back(id);
    }
    for (const std::string& id : ids) remove(id).ignore("it was there a line above");
}

Value Exports::list(const std::string& group) const {
    Value all = Value::list();
    for (const auto& [id, one] : exports_) {
        if (group.empty() || one.group == group) all.push(one.told);
    }
    return all;
}

}  // namespace everstep::daemon
