// The configuration that the tests start from: line 1 is "[tls]".
#pragma once

#include <string_view>

namespace everstep::test {

inline constexpr std::string_view kGoodConfig = R"([tls]
ca = "pki/ca.crt"

[[node]]
name = "alpha"
address = "10.0.0.1:7801"
state = "/var/lib/everstep"
certificate = "pki/alpha.crt"
key = "pki/alpha.key"
metrics = "127.0.0.1:9801"

[[node]]
name = "beta"
address = "10.0.0.2:7801"
state = "/var/lib/everstep"
certificate = "pki/beta.crt"
key = "pki/beta.key"

[[group]]
name = "db"
primary = "alpha"
standbys = ["beta"]
ack = "durable"
ack_standbys = 1
on_standby_loss = "stall"
standby_timeout = "250ms"
start_wait = "2s"
queue_bytes = "128MiB"
segment_bytes = "32MiB"
history = { keep_time = "24h", keep_bytes = "100GiB", reserve_bytes = "2GiB" }

[[group.volume]]
name = "data"
size = "10GiB"
alpha = { device = "/dev/vg0/db", capture = "nbd", listen = "tcp:127.0.0.1:10809" }
beta  = { device = "replica/../db.img", capture = "nbd", listen = "unix:run/db.sock" }

[[group.volume]]
name = "wal"
alpha = { device = "/dev/vg0/wal", capture = "nbd", listen = "tcp:[::1]:10810" }
beta  = { device = "wal.img", capture = "nbd", listen = "unix:run/wal.sock" }
)";

}  // namespace everstep::test
