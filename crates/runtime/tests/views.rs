//! What hosts hear of an instance's global `view` when it ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::host::{InstanceConfig, Mode, Report, Sandbox, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::view::{Link, Peer, Place, View};
use splay_runtime::worker::Worker;

/// Runs a program to its end, or stops it when nothing can happen any more; gives its view, and
/// whether it was told before the end.
fn view_in(mode: Mode, source: &str) -> Option<View> {
    let heard: Rc<RefCell<(Option<View>, bool)>> = Rc::default();
    let told = heard.clone();
    let sink = move |report: Report| match report {
        Report::Viewed { view, .. } => {
            assert!(!told.borrow().1, "after the end");
            assert!(told.borrow_mut().0.replace(*view).is_none(), "twice");
        }
        Report::Ended { .. } => told.borrow_mut().1 = true,
        _ => {}
    };
    let config = WorkerConfig { slice: Some(Duration::from_millis(200)) };
    let mut worker = Worker::new(Box::new(RealDriver::new().expect("driver")), config, Box::new(sink));
    let program = Program::from_source("app.lua", source.as_bytes(), None).expect("compiles");
    worker.start(
        1,
        InstanceConfig {
            program: Arc::new(program),
            arguments: Vec::new(),
            job: None,
            mode,
            jit: false,
            compact: false,
            seed: Some(1),
            max_memory_bytes: Some(8 << 20),
        },
    );
    for _ in 0..20 {
        worker.step(Some(Duration::ZERO)).expect("steps");
    }
    drop(worker);
    let (view, ended) = heard.take();
    assert!(ended);
    view
}

fn view(source: &str) -> Option<View> {
    view_in(Mode::Hosted, source)
}

/// The one trouble of a view that declares `fields`.
fn trouble(fields: &str) -> String {
    let view = view(&format!("events = require 'splay.events' view = {{ {fields} }}")).expect("declared");
    assert_eq!(view.troubles.len(), 1, "{view:?}");
    view.troubles[0].to_string()
}

const WHOLE: &str = r#"
    local near, far = { ip = "10.0.0.1", port = 1, id = 7 }, { ip = "10.0.0.2", port = "2" }
    view = {
        id = function() return "0aff" end,
        size = 2 ^ 16,
        bits = 16,
        links = function() return {
            near, nil, { to = far, label = "l", kind = "k" }, { to = nil, kind = "k" }, "10.0.0.3:3",
            { to = { nil, far, false, near }, kind = "many" }, false, here = near,
        } end,
        parent = function() return nil end,
        label = 42,
    }
"#;

#[test]
fn every_field_is_read() {
    let peer = |n: u16, id| Peer { ip: format!("10.0.0.{n}"), port: n, id };
    let near = || peer(1, Some(Place::Number(7.0)));
    let link = |to, kind: Option<&str>| Link { to, label: None, kind: kind.map(str::to_owned) };
    let expected = View {
        id: Some(Place::Digits("0aff".into())),
        size: Some(65_536.0),
        bits: Some(16),
        links: Some(vec![
            link(near(), None),
            Link { label: Some("l".into()), ..link(peer(2, None), Some("k")) },
            link(peer(3, None), None),
            link(peer(2, None), Some("many")),
            link(near(), Some("many")),
            link(near(), None),
        ]),
        parent: Some(None),
        label: Some("42".into()),
        troubles: Vec::new(),
    };
    assert_eq!(view(WHOLE), Some(expected.clone()));
    let directory = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::new(directory.path().to_owned());
    assert_eq!(view_in(Mode::Sandboxed(sandbox), WHOLE), Some(expected));
}

#[test]
fn it_is_read_however_the_instance_ends() {
    let ends = [
        "os.exit(3)",
        "error('bad')",
        "events.run(function() events.exit() end)",
        "events.run(function() os.exit() end)",
        "events.run(function() events.sleep(1000) end)",
        "local t = {} for i = 1, 1e7 do t[i] = {} end",
    ];
    for end in ends {
        let view = view(&format!(
            "events = require 'splay.events' local n = 0 \
             view = {{ label = function() return 'n is ' .. n end, parent = false }} n = n + 1 {end}"
        ));
        let view = view.unwrap_or_else(|| panic!("{end}"));
        assert_eq!((view.label.as_deref(), view.parent), (Some("n is 1"), None), "{end}");
    }
}

#[test]
fn other_globals_called_view_mean_nothing() {
    for source in ["", "view = 3", "view = { { ip = 'x', port = 1 } }", "function view() end"] {
        assert_eq!(view(source), None, "{source}");
    }
    assert_eq!(view_in(Mode::Interpreter, WHOLE), None);
}

#[test]
fn what_is_wrong_names_its_field_and_the_rest_is_read() {
    let waits = "it waits, which functions of `view` may not";
    assert_eq!(trouble("links = function() events.sleep(1) end"), format!("view.links: {waits}"));
    assert_eq!(trouble("links = function() coroutine.yield() end"), format!("view.links: {waits}"));
    assert_eq!(trouble("label = function() os.exit(3) end"), format!("view.label: {waits}"));
    assert_eq!(trouble("id = function() error('oops', 0) end"), "view.id: oops");
    assert_eq!(trouble("id = function() error({}) end"), "view.id: (error object is a table value)");
    assert_eq!(trouble("id = {}"), "view.id: number or text of digits expected, got table");
    assert_eq!(trouble("id = 'xyz'"), "view.id: \"xyz\" is neither a decimal nor a hexadecimal number");
    assert_eq!(trouble("id = -1"), "view.id: -1 is no place on a ring");
    assert_eq!(trouble("size = 0"), "view.size: 0 is not a size");
    assert_eq!(trouble("links = 3"), "view.links: table of nodes expected, got number");
    assert_eq!(trouble("links = { {}, {} }"), "view.links: a link is a node, or a table with nodes in `to`");
    assert_eq!(trouble("links = { { ip = 'a' } }"), "view.links: node a needs a `port`");
    assert_eq!(trouble("parent = 7"), "view.parent: node expected, got number");
    let view = view("view = { id = 1, size = true, label = 'x' }").expect("declared");
    assert_eq!((view.id, view.label.as_deref()), (Some(Place::Number(1.0)), Some("x")));
    assert_eq!(view.troubles[0].to_string(), "view.size: number expected, got boolean");
}

#[test]
fn an_endless_function_is_cut_and_memory_is_limited() {
    let view = view("view = { id = 1, links = function() while true do end end, label = 'x' }");
    let view = view.expect("declared");
    assert_eq!((view.id, view.label), (Some(Place::Number(1.0)), None));
    let told = view.troubles[0].to_string();
    assert!(told.starts_with("view.links: app.lua:1: ran longer than 200ms"), "{told}");
    assert_eq!(trouble("label = function() return ('x'):rep(1e9) end"), "view.label: not enough memory");
}
