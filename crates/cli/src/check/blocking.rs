//! What stops every thread of the instance, and every instance of the worker.

use super::names::{Module, path};
use super::tree::{
    Call, Expr, ExprKind, Function, Stat, StatKind, Visitor, walk_block, walk_expr, walk_stat,
};
use super::{Code, Finding, View};

pub fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    walk_block(&mut Seeker { view, findings }, &view.chunk.body);
}

struct Seeker<'a> {
    view: &'a View<'a>,
    findings: &'a mut Vec<Finding>,
}

impl Visitor for Seeker<'_> {
    fn expr(&mut self, expr: &Expr) {
        if let ExprKind::Call(call) = &expr.kind
            && let Some((Module::Global(module), name)) = self.view.names.member(&call.callee)
            && matches!((module.as_str(), name.as_str()), ("os", "execute") | ("io", "popen"))
        {
            let command = call.arguments.first().and_then(Expr::text).unwrap_or("");
            let hint = match command.trim_start().starts_with("sleep") {
                true => "`events.sleep(seconds)` lets the others run",
                false => "do it outside of the application; in the sandbox this function is missing",
            };
            self.findings.push(Finding {
                at: expr.at,
                code: Code::Blocks,
                message: format!("`{module}.{name}` stops all threads, of all instances of the worker"),
                hint: Some(hint.to_owned()),
            });
        }
        walk_expr(self, expr);
    }

    fn stat(&mut self, stat: &Stat) {
        let (condition, body, goes_on) = match &stat.kind {
            StatKind::While(condition, body) => (condition, body, true),
            StatKind::Repeat(body, condition) => (condition, body, false),
            _ => return walk_stat(self, stat),
        };
        if self.is_busy(condition, body, goes_on) {
            self.findings.push(Finding {
                at: stat.at,
                code: Code::BusyLoop,
                message: "nothing in this loop waits or leaves it: no other thread ever runs meanwhile"
                    .to_owned(),
                hint: Some("call `events.sleep` or `events.yield` in it, or wait for an event".to_owned()),
            });
        }
        walk_stat(self, stat);
    }
}

impl Seeker<'_> {
    fn is_busy(&self, condition: &Expr, body: &[Stat], goes_on: bool) -> bool {
        let mut look = Look { view: self.view, ..Look::new(self.view) };
        walk_block(&mut look, body);
        if look.leaves {
            return false;
        }
        let inside = look.assigned;
        let mut look = Look::new(self.view);
        look.expr(condition);
        if look.leaves {
            return false;
        }
        match &condition.bare().kind {
            ExprKind::Bool(value) => *value == goes_on,
            ExprKind::Number(_) | ExprKind::Text(_) => goes_on,
            _ if look.clock => true,
            // A condition of plain variables that the loop does not touch.
            _ => {
                !look.complex && !look.read.is_empty() && look.read.iter().all(|name| !inside.contains(name))
            }
        }
    }
}

/// What there is in a piece of code.
struct Look<'a> {
    view: &'a View<'a>,
    /// It may wait, leave, or call what may.
    leaves: bool,
    /// It asks what time it is.
    clock: bool,
    /// It depends on more than plain variables.
    complex: bool,
    read: Vec<String>,
    assigned: Vec<String>,
}

impl<'a> Look<'a> {
    fn new(view: &'a View<'a>) -> Look<'a> {
        Look { view, leaves: false, clock: false, complex: false, read: Vec::new(), assigned: Vec::new() }
    }

    fn call(&mut self, call: &Call) {
        if call.method.is_some() {
            self.leaves = true;
        } else if let Some((module, name)) = self.view.names.member(&call.callee) {
            let module = module.canonical();
            match (module.as_str(), name.as_str()) {
                ("os", "time" | "clock" | "date")
                | ("splay.misc", "time" | "now" | "ctime")
                | ("socket" | "splay.socket", "gettime") => self.clock = true,
                ("string" | "table" | "math" | "bit", _) => {}
                _ => self.leaves = true,
            }
        } else if let Some(name) = self.view.names.builtin(&call.callee) {
            self.leaves |= !QUIET.contains(&name.as_str());
        } else {
            self.leaves = true;
        }
    }
}

/// Functions of Lua's that return at once.
const QUIET: [&str; 14] = [
    "print",
    "tostring",
    "tonumber",
    "type",
    "pairs",
    "ipairs",
    "next",
    "select",
    "unpack",
    "rawget",
    "rawset",
    "rawequal",
    "getmetatable",
    "setmetatable",
];

impl Visitor for Look<'_> {
    fn function(&mut self, _: &Function) {}

    fn stat(&mut self, stat: &Stat) {
        match &stat.kind {
            StatKind::Break | StatKind::Return(_) | StatKind::Goto | StatKind::Label => self.leaves = true,
            StatKind::Assign(targets, _) => self.assigned.extend(targets.iter().filter_map(path)),
            _ => {}
        }
        walk_stat(self, stat);
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Call(call) => {
                self.complex = true;
                self.call(call);
                call.arguments.iter().for_each(|argument| self.expr(argument));
                return;
            }
            ExprKind::Index(..) | ExprKind::Length(_) | ExprKind::Dots => self.complex = true,
            ExprKind::Local(_) | ExprKind::Global(_) => self.read.extend(path(expr)),
            _ => {}
        }
        walk_expr(self, expr);
    }
}
