//! `splay run --plot` and `splay plot`, over real sockets.

mod support;

use std::path::Path;

use support::{Outcome, Place};

/// A ring in the order of positions, over which every instance has called the next.
const RING: &str = r#"
require "splay.base"
local rpc = require "splay.rpc"
local n = #job.nodes
local me, following = job.position, nil
view = {
  id = function() return me - 1 end,
  size = n,
  links = function() return { { to = following, kind = "successor" } } end,
  parent = function() return job.nodes[math.floor(me / 2)] end,
  label = function() return "p" .. me end,
}
function where() return me end
events.run(function()
  assert(rpc.server(job.me))
  events.sleep(0.3)
  local node = job.nodes[me % n + 1]
  if rpc.call(node, "where") == me % n + 1 then following = node end
  events.sleep(0.3)
  if arg and arg[1] == "die" and me == 2 then os.exit(9) end
  if arg[1] == "stay" then events.sleep(100) end
  os.exit(0)
end)
"#;

#[test]
fn a_run_draws_its_overlay() {
    let place = Place::with(RING);
    let outcome = place.run(5, &["--plot", "ring", "--plot", "tree", "--plot", "graph", "-q"]).ended(0);
    for (kind, title) in
        [("ring", "app: ring of 5 instances"), ("tree", "app: tree of 5"), ("graph", "app: graph of 5")]
    {
        let told = format!("/{kind}.svg\n");
        assert!(
            outcome.err.contains(&format!("splay: {kind} drawn in runs/app/")) && outcome.err.contains(&told),
            "{outcome:?}"
        );
        let text = place.result(&format!("{kind}.svg"));
        let picture = roxmltree::Document::parse(&text).expect("well-formed");
        assert!(
            picture.descendants().any(|node| node.text().is_some_and(|text| text.starts_with(title))),
            "{text}"
        );
    }
    assert!(place.result("ring.svg").contains("5 of 5 know the next on the ring"));
    for run in ["runs/app/latest", "runs/app", "app", "app.lua", "runs/app/latest/view.json"] {
        let again = Outcome::of(place.splay(&["plot", run, "ring", "-o", "-"])).ended(0);
        assert_eq!(again.out, place.result("ring.svg"), "{run}");
    }
    let elsewhere = ["plot", "app", "ring", "-o", "-", "--runs", "elsewhere"];
    Outcome::of(place.splay(&elsewhere)).ended(3);
    let options = place.result("options.json");
    assert!(options.contains("\"--plot\",\n    \"ring\""), "{options}");
}

#[test]
fn what_is_shown_is_kept_however_a_run_ends() {
    let place = Place::with(RING);
    place.run(4, &["--for", "2s", "-q", "--sandbox", "--", "stay"]).ended(0);
    let outcome = Outcome::of(place.splay(&["plot", "runs/app/latest"])).ended(0);
    assert_eq!(outcome.out, "runs/app/latest/ring.svg\n");
    let text = place.result("ring.svg");
    assert!(text.contains("4 of 4 know the next on the ring") && text.contains(">p3</tspan>"), "{text}");
}

#[test]
fn who_fails_is_among_the_dead() {
    let place = Place::with(RING);
    let outcome = place.run(4, &["--plot", "ring", "-q", "--", "die"]).ended(1);
    assert!(outcome.err.contains("ring drawn in"), "{outcome:?}");
    let text = place.result("ring.svg");
    assert!(text.contains("ring of 3 instances") && text.contains("2 of 3 know the next"), "{text}");
    assert!(text.contains("1 ended early") && text.contains("dead node, still known (1 link)"), "{text}");
}

#[test]
fn troubles_are_told_and_the_rest_is_drawn() {
    let place = Place::with(
        "require 'splay.base' view = { links = { job.nodes[1] }, label = function() events.sleep(1) end }",
    );
    let outcome = place.run(2, &["--plot", "graph"]).ended(0);
    assert!(outcome.err.contains("[2] ") && outcome.err.contains("view.label: it waits"), "{outcome:?}");
    assert!(place.result("instances/1.log").contains("! view.label: it waits"));
    assert!(place.result("graph.svg").contains("graph of 2 instances"));
    let outcome = place.run(2, &["--plot", "tree", "-q"]).ended(6);
    assert!(outcome.err.contains("splay: no tree drawn: no instance declares `parent`"), "{outcome:?}");
}

#[test]
fn nothing_to_draw_is_told() {
    let place = Place::with("print('no view')");
    let outcome = place.run(1, &["--plot", "ring", "-q"]).ended(6);
    assert!(outcome.err.contains("splay: no ring drawn: no instance showed anything"), "{outcome:?}");
    assert!(!Path::new(&place.folder_of_results()).join("view.json").exists());
    for run in ["runs/app/latest", "app", "app.lua"] {
        let outcome = Outcome::of(place.splay(&["plot", run])).ended(6);
        let told = "splay: nothing to draw in runs/app/latest: the application sets no global `view` (see `splay \
                    doc view`)\n";
        assert_eq!(outcome.err, told);
    }
    let outcome = Outcome::of(place.splay(&["plot", "other"])).ended(3);
    let told = "splay: no run `other`: neither a folder of results nor an application in runs\n";
    assert_eq!(outcome.err, told);
    place.write("view.json", "{");
    let outcome = Outcome::of(place.splay(&["plot", "view.json"])).ended(3);
    assert_eq!(outcome.err.lines().count(), 1, "{outcome:?}");
    Outcome::of(place.splay(&["plot", "view.json", "star"])).ended(2);
}
