#include "daemon/exports.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <limits>

#include "common/base/descriptors.hpp"
#include "common/base/thread.hpp"
#include "common/net/address.hpp"

namespace everstep::daemon {
namespace {

constexpr std::size_t kPortMax = 65535;
constexpr std::size_t kBranchesMax = 4096;
constexpr std::chrono::seconds kServeAgain{2};  // after an address could not be had

const VolumeRecord* volume_named(const GroupContext& context, const std::string& name) {
    const auto& all = context.record.volumes;
    const auto at = std::find_if(all.begin(), all.end(),
                                 [&](const VolumeRecord& one) { return one.name == name; });
    return at == all.end() ? nullptr : &*at;
}

// Of the n-th volume: the ports follow one another; 0 stays 0, any that is free.
Result<std::string> tcp_address(const std::string& first, std::size_t n) {
    const std::string whole = "tcp:" + first;
    const auto address = net::parse_address(whole);
    if (!address.ok()) return address.status();
    const std::size_t port = std::stoul(address->port);
    if (port == 0) return whole;
    if (port + n > kPortMax)
        return Status(ErrorCode::usage,
                      fmt::format("{}: there is no port {} for the next volume", whole, port + n));
    return whole.substr(0, whole.size() - address->port.size()) + std::to_string(port + n);
}

}  // namespace

Exports::Exports(io::FileSystem& files, std::string directory)
    : directory_(std::move(directory)),
      ids_(files, directory_ + "/last"),
      alive_(std::make_shared<Exports*>(this)),
      thread_([this] { loop_.run(); }) {}

Exports::~Exports() {
    *alive_ = nullptr;
    for (auto& [id, one] : exports_) end(one);
    exports_.clear();
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

void Exports::know_ids(const std::vector<std::uint64_t>& ids) {
    for (const std::uint64_t id : ids) ids_.know(id);
}

template <class Wanted>
Result<std::string> Exports::address_of(const std::string& id, const Served& served,
                                        const Wanted& wanted) const {
    if (!wanted.tcp.empty()) return tcp_address(wanted.tcp, served.number);
    if (wanted.socket.empty())
        return "unix:" + directory_ + "/" + id + "-" + served.volume + ".sock";
    return "unix:" + (served.of == 1 ? wanted.socket : wanted.socket + "." + served.volume);
}

Status Exports::serve(Export& one, const ExportRequest& request) {
    const journal::Store& store = one.source->store();
    auto hold = store.hold(request.at.point, journal::HoldKind::lasting);
    if (!hold.ok()) return hold.status();
    one.hold = std::move(*hold);
    const Result<journal::View> view = store.view(request.at.point);
    if (!view.ok()) return view.status();
    Value uris = Value::map();
    Value first;
    for (const std::string& name : request.volumes) {
        const VolumeRecord* volume = volume_named(*one.context, name);
        if (volume == nullptr) continue;
        const VolumeIndex index(
            static_cast<std::uint64_t>(volume - one.context->record.volumes.data()));
        auto device = standby::make_export_device(*one.source, loop_, *view, index, volume->size);
        const auto address =
            address_of(one.id, {name, one.servers.size(), request.volumes.size()}, request);
        if (!address.ok()) return address.status();
        auto server = NbdServer::make(loop_, *address, {{name, description_of(one), device.get()}});
        if (!server.ok()) return server.status().with_context("volume " + name);
        if (first.is_null()) first = (*server)->uri();
        uris.set(name, (*server)->uri());
        one.devices.push_back(std::move(device));
        one.servers.push_back(std::move(*server));
    }
    one.told = Value::map();
    one.told.set("id", one.id);
    one.told.set("group", one.context->group->name);
    one.told.set("uri", first);
    one.told.set("uris", uris);
    one.told.set("lsn", request.at.point.lsn.value());
    one.told.set("timeline", request.at.point.timeline.hex());
    one.told.set("writable", false);
    one.told.set("description", description_of(one));
    if (!request.label.empty()) one.told.set("label", request.label);
    return {};
}

std::string Exports::description_of(const Export& one) {
    return fmt::format("everstep export {} of {} on {}", one.id, one.context->group->name,
                       one.context->node);
}

Status Exports::serve_branch(Export& one) {
    const standby::BranchRecord& record = one.branch->record();
    const journal::Tip tip = one.branch->store().tip();
    PipelineOptions options;
    options.capture = {one.context->record.group, tip, one.branch->begins_timeline(), true,
                       one.context->clock};
    options.store = one.branch.get();
    options.files = one.context->files;
    std::size_t number = 0;
    for (const VolumeRecord& volume : one.context->record.volumes) {
        const bool served = std::find(record.volumes.begin(), record.volumes.end(), volume.name) !=
                            record.volumes.end();
        options.volumes.push_back({volume.name, "", "", volume.size, description_of(one)});
        if (!served) continue;
        auto address = address_of(one.id, {volume.name, number++, record.volumes.size()}, record);
        if (!address.ok()) return address.status();
        options.volumes.back().listen = std::move(*address);
    }
    PipelineEvents events;
    events.on_frame = [](const FramePtr&) {};
    events.on_overflow = [] {};
    events.on_event = [context = one.context](const std::string& kind, const std::string& text) {
        context->event(kind, text);
    };
    auto pipeline =
        std::make_unique<Pipeline>(*one.context->loop, std::move(options), std::move(events));
    EVERSTEP_TRY(pipeline->start());
    // Nobody else answers for what is written here.
    pipeline->release(Lsn(std::numeric_limits<std::uint64_t>::max()));
    one.pipeline = std::move(pipeline);
    one.failed.clear();
    return {};
}

Value Exports::told_of(const Export& one) const {
    if (!one.branch) return one.told;
    return written_value(one, one.branch->record(), one.branch->store().tip().point);
}

Value Exports::written_value(const Export& one, const standby::BranchRecord& record, Point tip) {
    Value uris = Value::map();
    Value first;
    const auto& volumes = one.context->record.volumes;
    for (std::size_t n = 0; one.pipeline && n < volumes.size(); ++n) {
        const std::string& uri = one.pipeline->uris()[n];
        if (uri.empty()) continue;
        if (first.is_null()) first = uri;
        uris.set(volumes[n].name, uri);
    }
    Value told = Value::map();
    told.set("id", one.id);
    told.set("group", one.context->group->name);
    told.set("uri", first);
    told.set("uris", uris);
    told.set("lsn", tip.lsn.value());
    told.set("timeline", tip.timeline.hex());
    told.set("writable", true);
    told.set("description", description_of(one));
    told.set("base_lsn", record.base.lsn.value());
    told.set("base_timeline", record.base.timeline.hex());
    if (!record.mount.empty()) told.set("mount", record.mount);
    if (!one.failed.empty()) told.set("failed", one.failed);
    return told;
}

Result<Value> Exports::add_read_only(GroupContext& context, standby::Standby& standby,
                                     const ExportRequest& request) {
    Export one;
    one.id = ids_.next();
    one.context = &context;
    one.standby = &standby;
    one.source = request.at.source;
    Status status;
    on_loop([&] {
        status = within_limits([&] { return serve(one, request); });
        if (!status.ok()) {
            one.servers.clear();
            one.devices.clear();
        }
    });
    if (!status.ok()) return status;
    Value told = one.told;
    exports_[one.id] = std::move(one);
    return told;
}

Result<Value> Exports::add_branch(GroupContext& context, standby::Standby& standby,
                                  const ExportRequest& request) {
    // Beyond it the next start would find no descriptors left, for the groups either.
    const auto branches = static_cast<std::size_t>(
        std::count_if(exports_.begin(), exports_.end(),
                      [](const auto& other) { return other.second.branch != nullptr; }));
    if (branches >= files_for_cache(kBranchesMax) / 2)
        return Status(ErrorCode::refused,
                      fmt::format("there are {} writable exports, as many as this node's limit of "
                                  "open files allows; end one, or raise the limit",
                                  branches));
    Result<std::string> id = ids_.next_lasting();
    if (!id.ok()) return id.status();
    Export one;
    one.id = std::move(*id);
    one.context = &context;
    one.standby = &standby;
    standby::BranchRecord record;
    record.id = one.id;
    record.base = request.at.point;
    record.volumes = request.volumes;
    record.socket = request.socket;
    record.tcp = request.tcp;
    record.mount = request.mount;
    auto made = standby.branches().make(record, request.at);
    if (!made.ok()) return made.status();
    one.branch = *made;
    one.source = *made;
    if (const Status served = serve_branch(one); !served.ok()) {
        one.branch.reset();
        one.source.reset();
        const Status dropped = standby.branches().drop(one.id);
        if (!dropped.ok()) context.event("alarm-export", dropped.message());
        return served;
    }
    Value told = told_of(one);
    exports_[one.id] = std::move(one);
    return told;
}

void Exports::add(GroupContext& context, standby::Standby& standby, const ExportRequest& request,
                  Done done) {
    if (!request.writable) return done(add_read_only(context, standby, request));
    const auto go_on = [this, alive = alive_, &context, &standby, request,
                        done](const Status& synced) {
        if (*alive == nullptr) return;
        if (!synced.ok()) return done(synced);
        done(add_branch(context, standby, request));
    };
    // What it lies over must not be lost below it.
    const auto nothing = [](journal::Store&) { return Status(); };
    if (const auto branch = standby.branches().branch_of(request.at.source.get()))
        branch->journal_task(nothing, go_on);
    else
        standby.journal_task(nothing, go_on);
}

void Exports::restore(GroupContext& context, standby::Standby& standby) {
    for (const auto& [id, entry] : standby.branches().all()) {
        Export one;
        one.id = id;
        one.context = &context;
        one.standby = &standby;
        one.branch = entry.branch;
        one.source = entry.branch;
        if (!entry.branch) {
            one.failed = entry.failed.message();
            one.told = written_value(one, entry.record, entry.record.base);
        } else if (const Status served = serve_branch(one); !served.ok()) {
            not_served(one, served);
        }
        exports_[id] = std::move(one);
    }
}

void Exports::not_served(Export& one, const Status& why) {
    if (one.failed != why.message())
        one.context->event("alarm-export", fmt::format("export {}: {}", one.id, why.message()));
    one.failed = why.message();
    if (!again_) again_ = std::make_unique<net::Timer>(*one.context->loop);
    again_->after(kServeAgain, [this] { serve_again(); });
}

void Exports::serve_again() {
    for (auto& [id, one] : exports_) {
        if (!one.branch || one.pipeline || one.moving) continue;
        if (const Status served = serve_branch(one); !served.ok())
            not_served(one, served);
        else
            one.context->event("export", fmt::format("export {} is served again", id));
    }
}

void Exports::list_unopened(GroupContext& context, const std::vector<std::uint64_t>& ids,
                            const std::string& why) {
    for (const std::uint64_t number : ids) {
        Export one;
        one.id = std::to_string(number);
        if (exports_.contains(one.id)) continue;
        one.context = &context;
        one.failed = why;
        const auto record =
            standby::load_branch(*context.files, branches_directory(context) + "/" + one.id);
        const standby::BranchRecord known = record.ok() ? *record : standby::BranchRecord();
        one.told = written_value(one, known, known.base);
        exports_[one.id] = std::move(one);
    }
}

// A full disk must not hold the node's loop.
void Exports::end_pipeline(Export& one) {
    if (!one.pipeline) return;
    one.branch->give_up_room(true);
    one.pipeline.reset();
    one.branch->give_up_room(false);
}

void Exports::end(Export& one) {
    end_pipeline(one);
    on_loop([&] {
        one.servers.clear();
        one.devices.clear();
    });
}

Status Exports::remove(const std::string& id, bool drop) {
    const auto at = exports_.find(id);
    if (at == exports_.end())
        return {ErrorCode::not_found,
                "no export has the id " + id + "; `everstep exports` lists them"};
    Export& one = at->second;
    const bool writable = one.standby == nullptr || one.standby->branches().all().contains(id);
    if (!writable) {
        end(one);
        exports_.erase(at);
        return {};
    }
    if (!drop && one.branch && !one.branch->record().mount.empty())
        return {ErrorCode::refused,
                fmt::format("export {} is mounted on {}; `everstep umount` ends both", id,
                            one.branch->record().mount)};
    if (!drop && (!one.branch || one.branch->is_written()))
        return {ErrorCode::refused,
                fmt::format("export {} is a branch that was written on; --drop deletes what was "
                            "written",
                            id)};
    for (const auto& [other, over] : exports_) {
        if (other == id || !one.branch ||
            (over.source != one.source && (!over.branch || over.branch->below() != one.source)))
            continue;
        return {ErrorCode::refused,
                fmt::format("export {} lies over export {}; end that first", other, id)};
    }
    end(one);
    standby::Standby* standby = one.standby;
    const GroupContext& context = *one.context;
    exports_.erase(at);
    if (standby != nullptr) return standby->branches().drop(id);
    return standby::Branch::drop(*context.files, branches_directory(context) + "/" + id);
}

Status Exports::keep(const std::string& id) {
    const auto at = exports_.find(id);
    if (at == exports_.end() || !at->second.branch)
        return {ErrorCode::not_found, "no writable export that can be kept has the id " + id};
    return at->second.branch->forget_mount();
}

void Exports::go_to(const std::string& id, const standby::PlacedPoint& at, bool force, Done done) {
    const auto found = exports_.find(id);
    if (found == exports_.end() || !found->second.branch)
        return done(Status(ErrorCode::not_found, "no writable export has the id " + id));
    Export& one = found->second;
    if (at.source != one.source)
        return done(Status(ErrorCode::refused,
                           fmt::format("export {} goes to steps of its own, from step {} of "
                                       "timeline {} on; a new export begins anywhere",
                                       id, one.branch->record().base.lsn.value(),
                                       one.branch->record().base.timeline.hex())));
    if (one.pipeline && one.pipeline->clients() > 0 && !force)
        return done(Status(ErrorCode::refused,
                           fmt::format("export {} is in use: its clients would see other content "
                                       "from one read to the next; end them, or --force "
                                       "disconnects them",
                                       id)));
    if (one.moving)
        return done(Status(ErrorCode::busy, fmt::format("export {} is on its way already", id)));
    end_pipeline(one);
    const Point from = one.branch->store().tip().point;
    one.moving = true;
    one.branch->branch_off(at.point,
                           [this, alive = alive_, id, from, done](const Status& branched) {
                               if (*alive == nullptr) return;
                               const auto there = exports_.find(id);
                               if (there == exports_.end())
                                   return done(Status(ErrorCode::closed, "the export was ended"));
                               Export& again = there->second;
                               again.moving = false;
                               const Status served = serve_branch(again);
                               if (!served.ok()) not_served(again, served);
                               if (!branched.ok() || !served.ok())
                                   return done(branched.ok() ? served : branched);
                               Value told = told_of(again);
                               told.set("from", from.lsn.value());
                               done(told);
                           });
}

void Exports::remove_group(const std::string& group) {
    for (auto at = exports_.begin(); at != exports_.end();) {
        if (at->second.context->group->name != group) {
            ++at;
            continue;
        }
        end(at->second);
        at = exports_.erase(at);
    }
}

Value Exports::list(const std::string& group) const {
    Value all = Value::list();
    for (const auto& [id, one] : exports_) {
        if (group.empty() || one.context->group->name == group) all.push(told_of(one));
    }
    return all;
}

}  // namespace everstep::daemon
