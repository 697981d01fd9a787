//! What the commands of the console show of an instance and of the network, as lines.

use std::time::Duration;

use splay_protocol::Node;
use splay_runtime::driver::Owner;
use splay_simulator::Simulation;
use splay_simulator::network::inspect::PacketView;
use splay_simulator::simulation::address;

use super::listing::payload;

/// Lua code that prints the globals of an application: those that no library has made.
pub const GLOBALS: &str = r#"
local own = {}
local known = [[ _G _VERSION arg assert bit collectgarbage coroutine coxpcall debug dofile error events
  gcinfo getfenv getmetatable io ipairs jit job load loadfile loadstring log math misc module newproxy
  next os package pairs pcall print rawequal rawget rawset require select setfenv setmetatable socket
  splay string table tonumber tostring type unpack xpcall ]]
known = known:gsub("%s+", " ")
for name, value in pairs(_G) do
  local text = tostring(name)
  if not known:find(" " .. text .. " ", 1, true) and package.loaded[name] ~= value then
    local shown = type(value)
    if shown == "string" then shown = ("%q"):format(value)
    elseif shown == "number" or shown == "boolean" then shown = tostring(value)
    elseif shown == "table" then
      local count = 0
      for _ in next, value do count = count + 1 end
      shown = ("table of %d"):format(count)
    end
    own[#own + 1] = ("%-20s %s"):format(text, shown)
  end
end
table.sort(own)
for _, line in ipairs(own) do print(line) end
"#;

fn seconds(time: Duration) -> String {
    format!("{:.6} s", time.as_secs_f64())
}

/// The threads of an instance; `None`: it has ended.
pub fn threads(simulation: &mut Simulation, instance: u32) -> Option<Vec<String>> {
    let looks = simulation.worker().threads(instance)?;
    let mut lines = Vec::new();
    for look in looks {
        let until = look.until.map_or(String::new(), |until| format!(", at most until {}", seconds(until)));
        let main = if look.main { " (main chunk)" } else { "" };
        lines.push(format!("{}{main}: {}{until}", look.name, look.doing));
        lines.extend(look.frames.iter().map(|frame| format!("    {frame}")));
    }
    Some(lines)
}

/// The timers of an instance.
pub fn timers(simulation: &mut Simulation, instance: u32) -> Option<Vec<String>> {
    let looks = simulation.worker().timers(instance)?;
    Some(looks.iter().map(|(at, what)| format!("{:>16} {what}", seconds(*at))).collect())
}

/// The sockets of an instance.
pub fn sockets(simulation: &Simulation, instance: u32) -> Vec<String> {
    let views = simulation.network(|network| network.sockets_of(Owner(instance - 1)));
    let line = |view: &splay_simulator::network::inspect::SocketView| {
        let local = view.local.map_or("not bound".to_owned(), |local| local.to_string());
        let peer = view.peer.map_or(String::new(), |peer| format!(" with {peer}"));
        format!("{:<14} {local}{peer}, {} waiting to be read", view.what, view.waiting)
    };
    views.iter().map(line).collect()
}

/// Packets on their way; those of one instance, or all.
pub fn flight(simulation: &Simulation, instance: Option<u32>) -> Vec<String> {
    let packets = simulation.network(|network| network.in_flight());
    let concerns = |packet: &&PacketView| {
        let Some(instance) = instance else { return true };
        let node = Node { ip: address(instance).to_string(), port: 0 };
        let is = |at: Option<std::net::SocketAddr>| at.is_some_and(|at| at.ip().to_string() == node.ip);
        packet.receiver == Some(Owner(instance - 1)) || is(packet.from) || is(packet.to)
    };
    let line = |packet: &PacketView| {
        let end = |at: Option<std::net::SocketAddr>| at.map_or("?".to_owned(), |at| at.to_string());
        let bytes = if packet.bytes.is_empty() { String::new() } else { payload(&packet.bytes) };
        let at = seconds(Duration::from_nanos(packet.at));
        format!("{at:>16} {:<11} {} > {} {bytes}", packet.what, end(packet.from), end(packet.to))
    };
    packets.iter().filter(concerns).map(line).collect()
}
