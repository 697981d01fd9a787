-- Tests of splay.peer_sampling.
local peer_sampling = require "splay.peer_sampling"
local events = require "splay.events"
local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect

-- Services that call each other without a network; `dead` ports do not answer.
local function network(size, settings)
  local services, dead = {}, {}
  local rpc = {
    acall = function(node, call)
      expect(call[1]).equal("exchange_views")
      if dead[node.port] then return false, "timeout" end
      return true, { services[node.port]:answer(call[2]) }
    end,
  }
  for port = 1, size do
    local own = { me = { ip = "x", port = port }, rpc = rpc, period = 0.01 }
    for name, value in pairs(settings or {}) do own[name] = value end
    services[port] = peer_sampling.new(own)
  end
  return services, dead
end

-- Every service knows the next few.
local function in_line(services)
  for port, service in ipairs(services) do
    local known = {}
    for i = 0, service.c do known[i + 1] = { ip = "x", port = (port + i - 1) % #services + 1 } end
    service:start(known)
  end
end

local function views_are_whole(services, dead)
  for port, service in ipairs(services) do
    if not dead[port] then
      local seen = { [port] = true }
      expect(#service.view).equal(service.c)
      for _, entry in ipairs(service.view) do
        expect(seen[entry.port]).is_nil()
        expect(dead[entry.port]).is_nil()
        seen[entry.port] = true
      end
    end
  end
end

describe("views", function()
  it("are mixed under every policy", function()
    for _, policy in ipairs { {}, { H = 0, S = 4 }, { H = 4, S = 0, tail = false },
      { H = 0, S = 0, tail = false } } do
      local services = network(40, policy)
      in_line(services)
      events.sleep(0.5)
      views_are_whole(services, {})
      local far = 0
      for port, service in ipairs(services) do
        service:stop()
        for _, entry in ipairs(service.view) do
          if (entry.port - port) % 40 > 8 then far = far + 1 end
        end
      end
      expect(far).at_least(100) -- of 320 entries; none at the start
    end
  end)

  it("take in new nodes by push alone", function()
    local services = network(20, { pull = false, c = 4 })
    in_line(services)
    events.sleep(0.3)
    views_are_whole(services, {})
    for _, service in ipairs(services) do service:stop() end
  end)

  it("lose the dead", function()
    local services, dead = network(40)
    in_line(services)
    events.sleep(0.2)
    for port = 1, 40, 5 do
      dead[port] = true
      services[port]:stop()
    end
    events.sleep(0.5)
    for port, service in ipairs(services) do
      service:stop()
      for _, entry in ipairs(service.view) do
        expect(not dead[port] and dead[entry.port]).falsy()
      end
    end
  end)

  it("say what a node says of itself", function()
    local services = network(3)
    for port, service in ipairs(services) do service.me.place = port * port end
    in_line(services)
    events.sleep(0.1)
    for _, service in ipairs(services) do
      service:stop()
      for _, entry in ipairs(service.view) do expect(entry.place).equal(entry.port ^ 2) end
    end
  end)

  it("are smaller when there are few nodes", function()
    local services = network(3)
    in_line(services)
    events.sleep(0.1)
    for _, service in ipairs(services) do
      service:stop()
      expect(#service.view).equal(2)
      expect(service:peer()).is_a("table")
      expect(#service:peer(5)).equal(2)
    end
    expect(network(1)[1]:peer()).is_nil()
  end)
end)

test.run()
