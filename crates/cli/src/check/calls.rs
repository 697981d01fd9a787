//! Remote calls of functions nobody has, programs that never start the scheduler, and waits outside
//! of it.

use super::names::Module;
use super::tree::{Call, Expr, ExprKind, Function, Item, Visitor, walk_block, walk_expr};
use super::{Code, Finding, View};
use crate::likeness::likest;

/// Functions of `splay.events` that only a thread may call.
const THREADS_ONLY: [&str; 3] = ["sleep", "wait", "yield"];

/// Modules with remote calls, and their calls that name a function.
pub const CARRIERS: [&str; 3] = ["splay.rpc", "splay.urpc", "splay.rpcq"];
const NAMING: [&str; 4] = ["call", "acall", "a_call", "ecall"];

pub fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    walk_block(&mut Seeker { view, findings, depth: 0 }, &view.chunk.body);
    never_run(view, findings);
}

/// Threads that never run: the end of the main chunk is the end of the instance.
fn never_run(view: &View<'_>, findings: &mut Vec<Finding>) {
    let facts = view.facts;
    let runs = |facts: &super::Facts| {
        ["run", "loop"].iter().any(|name| {
            facts
                .members
                .iter()
                .any(|(module, member, _)| module.canonical() == "splay.events" && member == name)
        }) || facts.first_call("splay.test", "run").is_some()
    };
    if facts.returns || view.everywhere().any(runs) || view.is_dynamic() {
        return;
    }
    let starters = [("splay.events", "thread"), ("splay.events", "periodic")];
    let servers = CARRIERS.map(|module| (module, "server"));
    let first = starters
        .into_iter()
        .chain(servers)
        .filter_map(|(module, name)| Some((facts.first_call(module, name)?, module, name)))
        .min();
    if let Some((at, module, name)) = first {
        let module = Module::Required(module.to_owned());
        findings.push(Finding {
            at,
            code: Code::NoEventsRun,
            message: format!(
                "`{}.{name}` in a program that never calls `events.run`: its threads never run",
                module.shown()
            ),
            hint: Some("put it into `events.run(function() ... end)`".to_owned()),
        });
    }
}

struct Seeker<'a> {
    view: &'a View<'a>,
    findings: &'a mut Vec<Finding>,
    /// Functions around what is looked at.
    depth: usize,
}

impl Visitor for Seeker<'_> {
    fn function(&mut self, function: &Function) {
        self.depth += 1;
        walk_block(self, &function.body);
        self.depth -= 1;
    }

    fn expr(&mut self, expr: &Expr) {
        if let ExprKind::Call(call) = &expr.kind {
            self.call(call);
        }
        walk_expr(self, expr);
    }
}

impl Seeker<'_> {
    fn call(&mut self, call: &Call) {
        let Some((module, function)) = self.view.names.member(&call.callee) else { return };
        // A module may be loaded by a thread.
        let main = self.depth == 0 && !self.view.facts.returns;
        if main && module.canonical() == "splay.events" && THREADS_ONLY.contains(&function.as_str()) {
            self.findings.push(Finding {
                at: call.callee.at,
                code: Code::WaitOutside,
                message: format!("`events.{function}` raises an error in the main chunk, which is no thread"),
                hint: Some("put it into `events.run(function() ... end)`".to_owned()),
            });
        }
        let remote = CARRIERS.contains(&module.canonical().as_str()) && NAMING.contains(&function.as_str());
        if !remote || call.method.is_some() || self.view.is_dynamic() {
            return;
        }
        // `call(node, what)` or `call(ip, port, what)`.
        let Some(named) = call.arguments.iter().skip(1).take(2).find_map(named) else { return };
        let text = named.text().unwrap_or_default();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let name = &text[..end];
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || self.view.is_defined(name) {
            return;
        }
        let functions = self.view.everywhere().flat_map(|facts| &facts.assigned).map(|it| it.name.as_str());
        let hint = likest(name, functions).map(|name| format!("did you mean `{name}`?")).or_else(|| {
            let local = self.view.facts.local_names.contains(name);
            local.then(|| format!("`{name}` is a local: a remote function has to be global"))
        });
        let message = format!("no function `{name}` in this file, nor in those it requires");
        self.findings.push(Finding { at: named.at, code: Code::UnknownRemote, message, hint });
    }
}

/// The literal name in what is called: `"name"` or `{"name", ...}`.
fn named(what: &Expr) -> Option<&Expr> {
    match &what.bare().kind {
        ExprKind::Text(_) => Some(what),
        ExprKind::Table(items) => match items.first()? {
            Item::Positional(name) if name.text().is_some() => Some(name),
            _ => None,
        },
        _ => None,
    }
}
