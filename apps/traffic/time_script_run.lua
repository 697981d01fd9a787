--- How long a test takes, from outside: what a script does before and after `run()`.
---
---   splay traffic tcp_rr --script time_script_run.lua
---
---   splay traffic tcp_rr --script time_script_run.lua

local started = os.time()
run() -- splay: allow(undefined-global)
io.stderr:write(("Script ran for %d seconds.\n"):format(os.time() - started))
