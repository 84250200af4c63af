#include "cli/command_table.hpp"

namespace everstep::cli {
namespace {

constexpr OperandSpec kGroup{"group", "GROUP", "the group, as the configuration names it"};
constexpr OperandSpec kPoint{"point", "P", "a point expression; everstep --help lists them"};
constexpr OptionSpec kOn{"--on", "on", "STANDBY",
                         "the node whose history answers; default: this node if it is a standby of "
                         "the group, else its only standby"};
constexpr OptionSpec kDryRun{"--dry-run", "dry_run", "",
                             "say what would be done, with its figures, and do nothing"};

std::vector<CommandSpec> pki_commands() {
    return {
        {"pki init",
         "make a private certificate authority",
         "Makes DIR (mode 0700) with ca.crt and ca.key, valid for 10 years. Every node needs "
         "ca.crt; ca.key signs new nodes and is best kept off all of them. Never overwrites one.",
         "everstep pki init /etc/everstep/pki",
         Shape::local,
         {{"directory", "DIR", "the directory of the authority"}},
         {}},
        {"pki issue",
         "make the certificate of one node",
         "Makes DIR/NAME.crt and DIR/NAME.key (mode 0600), signed by the authority in DIR. NAME is "
         "the node's name in the configuration: peers accept a certificate only for the name that "
         "they expect.",
         "everstep pki issue /etc/everstep/pki alpha",
         Shape::local,
         {{"directory", "DIR", "the directory of the authority"},
          {"name", "NAME", "the node's name in the configuration"}},
         {{"--days", "days", "N", "how long it is valid; default 1825"}}},
    };
}

std::vector<CommandSpec> looking_commands() {
    return {
        {"status",
         "roles, states, positions, lag, history, peers, volumes",
         "Shows the node and each of its groups (or GROUP alone). The positions are the newest "
         "step at each stage of a write's way, captured first, applied last; the lag is what the "
         "standbys still have to make durable.",
         "everstep status db --watch",
         Shape::document,
         {{"group", "GROUP", "only this group", false}},
         {{"--watch", "watch", "", "look again each second, until interrupted"}}},
        {"log",
         "the steps of a group, newest first",
         "Lists steps with time, volume, offset, length (bytes), kind (data, zero, discard, "
         "reread, sync) and flags (fua; flush: a completed flush lies behind the step). Marks and "
         "gaps stand in place, whatever steps are asked for: no point lies inside a gap.",
         "everstep log db --from ago:10m --limit 50",
         Shape::lines,
         {kGroup},
         {{"--from", "from", "P", "the oldest step wanted"},
          {"--to", "to", "P", "the newest step wanted; default: head"},
          {"--limit", "limit", "N", "at most N steps"},
          {"--flushes", "flushes", "", "only steps that a flush lies behind"},
          {"--volume", "volume", "NAME", "only steps that write on this volume"},
          {"--range", "range", "OFFSET+LENGTH",
           "only steps that write on some of these bytes, as 4096+512 or 1GiB+64KiB"},
          kOn}},
        {"diff",
         "the extents that differ between two points",
         "Lists volume, offset and length (bytes) of what differs between two points of the "
         "history. Neither the replica nor an export is moved for it.",
         "everstep diff db before-drop head",
         Shape::list,
         {kGroup, {"from", "P", "one point"}, {"to", "P", "the other point"}},
         {kOn}},
        {"events",
         "what happened on the node",
         "Prints the newest events, oldest first, one JSON object a line (with --json or without). "
         "An alarm's kind begins with \"alarm-\".",
         "everstep events --follow",
         Shape::lines,
         {},
         {{"--follow", "follow", "", "go on with new ones as they happen"}}},
    };
}

std::vector<CommandSpec> checking_commands() {
    return {
        {"verify",
         "compare the standbys with the primary",
         "Compares the volumes of the primary with what its standbys have, block by block by their "
         "hashes, while all of them run; what is told as different differs at one step. Exit 1 "
         "where something differs, or a standby could not be compared. With --repair what differs "
         "is brought to the standby, as a gap in its history that ends in a step of its own.",
         "everstep verify db --repair",
         Shape::document,
         {kGroup},
         {{"--standby", "standby", "NODE", "only this one; default: all"},
          {"--repair", "repair", "", "bring the standby what differs"}}},
        {"scrub",
         "check every stored byte of a group's history",
         "Reads all that the node has stored of a group's history, while everything else goes on, "
         "and compares it with its checksums and chains. Each damage is named with its file, its "
         "place in it, and the steps and ranges that it hits; exit 1 where there is one. A scrub "
         "that was cut short goes on where it was; it also goes on when this command is "
         "interrupted. The store of a node that does not run: everstep-journal verify.",
         "everstep scrub db --rate 200MiB",
         Shape::document,
         {kGroup},
         {{"--rate", "rate", "SIZE", "bytes a second at most; default 64MiB"}, kOn}},
    };
}

std::vector<CommandSpec> mark_commands() {
    return {
        {"mark",
         "name a step",
         "Gives a step a name that every command takes as a point. Names are unique in the group. "
         "Without --at the mark is made at the newest step; made on the primary, it travels to the "
         "standbys in the stream.",
         "everstep mark db before-upgrade --pin",
         Shape::document,
         {kGroup, {"name", "NAME", "letters, digits, . _ : -; at most 128 of them"}},
         {{"--at", "at", "P", "the step that gets the name; default: head"},
          {"--pin", "pin", "", "never expires with the history around it"},
          {"--consistency", "consistency", "C",
           "what is known of the step: crash (default), filesystem or application"},
          kOn}},
        {"marks",
         "the marks of a group",
         "Lists the marks with their steps.",
         "everstep marks db",
         Shape::list,
         {kGroup},
         {kOn}},
        {"unmark",
         "remove a mark",
         "Removes the name; the step stays in the history.",
         "everstep unmark db before-upgrade",
         Shape::document,
         {kGroup, {"name", "NAME", "the mark"}},
         {kOn}},
    };
}

std::vector<CommandSpec> time_commands() {
    return {
        {"rewind",
         "put the standby's replica at a point, back or forward",
         "Moves the replica and returns when it is there. No step is lost by it: what the primary "
         "writes meanwhile is received and kept, and applied after `everstep resume`. A point "
         "inside a gap, before history or after head is refused with the nearest ones (exit 3).",
         "everstep rewind db before-drop~1",
         Shape::document,
         {kGroup, kPoint},
         {kDryRun,
          {"--branch", "branch", "ID",
           "not the replica goes there, but this writable export, over its own steps; what is "
           "written next begins a new timeline there"},
          {"--force", "force", "", "with --branch: although clients are connected"},
          kOn}},
        {"resume",
         "roll the replica to head and apply live again",
         "Ends a rewind: brings the replica to the newest step and applies what arrives.",
         "everstep resume db",
         Shape::document,
         {kGroup},
         {kDryRun, kOn}},
        {"export",
         "serve a point as a block device",
         "Serves the volumes of GROUP (or VOLUME alone) as they were at a point, read-only, by "
         "NBD, at once and without moving the replica. Prints the URI for nbd-client, QEMU, "
         "nbdcopy or nbdfuse. The export holds its history until `everstep unexport`. A writable "
         "one is a branch, a timeline of its own: what is written there changes nothing else, has "
         "steps that can be marked, listed, exported and gone back to (`rewind --branch`), and is "
         "there again after a restart of the node.",
         "everstep export db/data ago:5m^flush --socket /run/then.sock",
         Shape::document,
         {{"group", "GROUP[/VOLUME]", "the group, or one volume of it"}, kPoint},
         {{"--writable", "writable", "", "it can be written on"},
          {"--socket", "socket", "PATH",
           "the unix socket to serve on; default: one in the node's state directory"},
          {"--tcp", "tcp", "HOST:PORT",
           "serve there by TCP instead, to whoever connects, unencrypted; port 0: any free one; of "
           "several volumes the ports follow each other"},
          kOn}},
        {"exports",
         "what is being exported",
         "Lists the exports of the node or of GROUP.",
         "everstep exports",
         Shape::list,
         {{"group", "GROUP", "only this group", false}},
         {kOn}},
        {"unexport",
         "end an export",
         "Ends serving and frees the history that it held. A writable export that was written on "
         "goes only with --drop, and all that was written with it.",
         "everstep unexport 3",
         Shape::document,
         {{"id", "ID", "as `everstep exports` shows it"}},
         {{"--drop", "drop", "", "delete what was written on a writable export"}, kOn}},
    };
}

std::vector<CommandSpec> restore_commands() {
    return {
        {"restore",
         "bring the primary's volumes to a point",
         "Writes what differs from a point, which may lie on a branch, over the volumes of GROUP "
         "(or VOLUME alone) where they are served, as one batch of new steps: nothing of the "
         "history goes, and a restore to the step before it undoes it. Refused (exit 3) while "
         "clients are connected to the volumes. Nobody is served meanwhile; when it was cut, not "
         "until --continue has written the rest, or --undo has brought back the step before it.",
         "everstep restore db before-drop~1",
         Shape::document,
         {{"group", "GROUP[/VOLUME]", "the group, or one volume of it"},
          {"point", "P", "a point expression; everstep --help lists them", false}},
         {kDryRun,
          {"--volume", "volume", "NAME", "only this volume, as GROUP/VOLUME"},
          {"--from", "from", "FILE",
           "instead of P: the content of this image, a backup or any other; of a chain the backing "
           "files are read, too"},
          {"--format", "format", "F", "of FILE, where no FILE.everstep says it: raw or qcow2"},
          {"--force", "force", "",
           "although clients are connected: they are disconnected; with --from also although FILE "
           "is a backup of another volume, or damaged"},
          {"--continue", "continue", "", "instead of P: write the rest of a restore that was cut"},
          {"--undo", "undo", "", "instead of P: back to the step before a restore that was cut"},
          {"--on", "on", "STANDBY",
           "the node whose history is read; default: the primary if it has one, else its only "
           "standby"}}},
    };
}

std::vector<CommandSpec> mount_commands() {
    return {
        {"mount",
         "show the file system of a point in a directory",
         "Mounts the file system that VOLUME (of a group with one, its only one) held at a point "
         "on "
         "DIR, an empty directory of this machine, to take files out of it. It lies on a branch "
         "(see export): its journal is replayed there, and the history stays as it is. Read-only "
         "without --writable, and always nosuid,nodev. `everstep umount` ends it. Needs root, "
         "nbdfuse (package libnbd-bin) and a loop device.",
         "everstep mount db/data before-drop /mnt/then",
         Shape::local,
         {{"group", "GROUP[/VOLUME]", "the group, or one volume of it"},
          kPoint,
          {"directory", "DIR", "where its files are to appear"}},
         {{"--writable", "writable", "", "it can be written on, until it is unmounted"},
          {"--partition", "partition", "N", "the file system lies in this partition of the volume"},
          kOn}},
        {"umount",
         "end a mount, with the branch below it",
         "Ends what `everstep mount` made, and whatever is left of one that was cut short, whose "
         "node has died or that was there before a restart of the machine. What was written on a "
         "writable one goes, too, unless --keep makes it an export like those of `everstep export "
         "--writable`.",
         "everstep umount /mnt/then",
         Shape::local,
         {{"directory", "DIR", "the directory of the mount"}},
         {{"--keep", "keep", "", "what was written stays, as a writable export"}, kOn}},
    };
}

std::vector<CommandSpec> backup_commands() {
    return {
        {"backup",
         "an image of a point in a file, whole or what changed since another",
         "Writes VOLUME (of a group with one, its only one) as it was at a point to FILE on this "
         "machine, a raw or qcow2 image in which zeroes take no room, and beside it FILE.everstep, "
         "which says what it is; an image counts as a backup only together with that. With --since "
         "FILE holds what differs from an earlier point, over the backup of that point, which it "
         "names as its backing file: keep both. Needs qemu-img and qemu-nbd (package qemu-utils).",
         "everstep backup db/data head^flush -o /backup/tue.qcow2 --since last",
         Shape::local,
         {{"group", "GROUP[/VOLUME]", "the group, or one volume of it"}, kPoint},
         {{"-o", "output", "FILE", "where to"},
          {"--since", "since", "P",
           "only what differs from P, of which there is a backup in FILE's directory; last: from "
           "the one of VOLUME there that was made last"},
          {"--base", "base", "FILE",
           "that backup is this one; without --since, whatever its point is"},
          {"--format", "format", "F", "raw or qcow2; default: qcow2"},
          {"--force", "force", "",
           "write over FILE, where there is one that no other backup lies over"},
          kOn}},
    };
}

std::vector<CommandSpec> role_commands() {
    return {
        {"takeover",
         "make this standby the primary",
         "Rolls the replica to head (or to P), begins a new timeline there and serves the volumes, "
         "writable, from this node. Prints the steps and seconds lost and the URIs. The whole past "
         "stays reachable, what lies behind P included. Refused (exit 3) while the primary can be "
         "reached; when it cannot, --force says that it is known to be dead: two primaries that "
         "both take writes are two lines of history.",
         "everstep takeover db --force",
         Shape::document,
         {kGroup, {"point", "P", "the step to take over at; default: head", false}},
         {{"--force", "force", "", "the old primary is known not to serve any more"}, kDryRun}},
        {"adopt",
         "say whose data is the truth",
         "Answers a group that is `refused` because a disk or a node's state is not the one that "
         "is known. --from NODE brings that node's data here; --force declares this node's disk "
         "the truth, and the standby's content follows it (its history stays).",
         "everstep adopt db --from beta",
         Shape::document,
         {kGroup},
         {{"--from", "from", "NODE", "take this node's data"},
          {"--force", "force", "", "this disk is the truth"}}},
        {"pause",
         "pause the replication link of a group",
         "Ends the group's link; the primary goes on and keeps what the standby lacks, within its "
         "limits. Nothing is lost by a pause that the primary's queue holds.",
         "everstep pause db",
         Shape::document,
         {kGroup},
         {}},
        {"unpause",
         "let the link of a group come up again",
         "Ends a pause: the nodes connect and the standby catches up.",
         "everstep unpause db",
         Shape::document,
         {kGroup},
         {}},
    };
}

std::vector<CommandSpec> group_commands() {
    return {
        {"group apply",
         "add, remove or replace standbys of a group that runs, or add a volume",
         "Reads the configuration again, on every node of the group, and shows what would follow "
         "for GROUP (of a node with one group, that one): standbys that come, go or are copied "
         "anew, volumes that come, and how many bytes that copies; settings that count at once and "
         "those that need a "
         "restart; what is refused, and why. Then it asks, or --yes does it. Nobody is "
         "disconnected from the volumes and the other standbys go on. Put the same file on every "
         "node first. A node that is away takes it up when it starts with the new file.",
         "everstep group apply db --dry-run",
         Shape::local,
         {{"group", "GROUP", "the group, as the configuration names it", false}},
         {{"--dry-run", "dry_run", "", "show the plan, and do nothing"},
          {"--yes", "yes", "", "do it without asking; needed where nobody can be asked"},
          {"--force", "force", "",
           "although the last standby goes that holds all that was acknowledged"}}},
    };
}

std::vector<CommandSpec> make_commands() {
    std::vector<CommandSpec> all;
    for (auto part :
         {looking_commands, checking_commands, mark_commands, time_commands, restore_commands,
          backup_commands, mount_commands, role_commands, group_commands, pki_commands}) {
        for (CommandSpec& command : part()) all.push_back(std::move(command));
    }
    return all;
}

}  // namespace

std::span<const CommandSpec> commands() {
    static const std::vector<CommandSpec> all = make_commands();
    return all;
}

const CommandSpec* find_command(std::string_view name) {
    for (const CommandSpec& command : commands()) {
        if (command.name == name) return &command;
    }
    return nullptr;
}

std::span<const OptionSpec> global_options() {
    static const std::vector<OptionSpec> all = {
        {"--config", "config", "FILE",
         "the configuration (EVERSTEP_CONFIG; default /etc/everstep/everstep.toml)"},
        {"--node", "node", "NAME",
         "the node of this machine to talk to (EVERSTEP_NODE; default the host name)"},
        {"--json", "json", "",
         "machine-readable: one document on one line; log and events one object a line"},
        {"--quiet", "quiet", "", "no progress and no confirmation; only what was asked for"},
        {"--version", "version", "", "say which version this is, and end"},
    };
    return all;
}

}  // namespace everstep::cli
