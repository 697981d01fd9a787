-- Globals made by functions.
require "splay.base"
rounds = 0

function step()
  rounds = rounds + 1
  best = misc.random_pick(job.nodes())
  function later() return best end
end

events.run(step)
