//! Values read before a wait and written after it: what other threads did meanwhile is lost. In
//! `t[#t + 1] = f()` the index is read before `f` is called; so is `x` in `x = x + f()`, unless it
//! is a local variable of the function itself.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

use super::calls::CARRIERS;
use super::names::{Module, Names, path, root};
use super::tree::{
    Call, Expr, ExprKind, Function, Item, Op, Stat, StatKind, Visitor, walk_block, walk_expr, walk_stat,
};
use super::{Code, Finding, View};

pub fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut seeker = Seeker { view, waiting: waiting(view), findings, function: 0 };
    walk_block(&mut seeker, &view.chunk.body);
}

/// Library functions that may suspend the calling thread, by module and name.
fn library() -> &'static BTreeSet<(String, String)> {
    static WAITING: OnceLock<BTreeSet<(String, String)>> = OnceLock::new();
    WAITING.get_or_init(|| {
        let catalogue = crate::catalogue::catalogue();
        let annotated = crate::catalogue::entries(&catalogue).filter(|(_, entry)| entry.waits);
        let annotated = annotated.map(|(module, entry)| (module.to_owned(), entry.name.clone()));
        let remote = ["call", "acall", "a_call", "ecall", "ping"];
        let remote =
            CARRIERS.iter().flat_map(|module| remote.map(|name| (module.to_string(), name.to_owned())));
        annotated.chain(remote).chain([("coroutine".to_owned(), "yield".to_owned())]).collect()
    })
}

/// Calls something that passes the waiting of a function on: `pcall(f, ...)`.
fn passes_on(names: &Names, call: &Call) -> bool {
    call.method.is_none()
        && matches!(names.builtin(&call.callee).as_deref(), Some("pcall" | "xpcall" | "coxpcall"))
}

/// Functions of the source that may wait.
fn waiting(view: &View<'_>) -> HashSet<usize> {
    let mut calls =
        Calls { names: view.names, function: 0, callees: HashMap::new(), waiting: HashSet::new() };
    walk_block(&mut calls, &view.chunk.body);
    let Calls { callees, mut waiting, .. } = calls;
    loop {
        let before = waiting.len();
        for (function, callees) in &callees {
            if callees.iter().any(|callee| waiting.contains(callee)) {
                waiting.insert(*function);
            }
        }
        if waiting.len() == before {
            return waiting;
        }
    }
}

/// Who calls whom.
struct Calls<'a> {
    names: &'a Names,
    function: usize,
    callees: HashMap<usize, Vec<usize>>,
    waiting: HashSet<usize>,
}

impl Visitor for Calls<'_> {
    fn function(&mut self, function: &Function) {
        let outer = std::mem::replace(&mut self.function, function.number);
        walk_block(self, &function.body);
        self.function = outer;
    }

    fn expr(&mut self, expr: &Expr) {
        if let ExprKind::Call(call) = &expr.kind {
            match called(self.names, call) {
                Called::Waits => {
                    self.waiting.insert(self.function);
                }
                Called::Own(functions) => {
                    self.callees.entry(self.function).or_default().extend(functions);
                }
            }
        }
        walk_expr(self, expr);
    }
}

enum Called {
    Waits,
    Own(Vec<usize>),
}

fn called(names: &Names, call: &Call) -> Called {
    let callee = match passes_on(names, call).then(|| call.arguments.first()).flatten() {
        Some(function) => function,
        None => &call.callee,
    };
    if let Some((name, _)) = &call.method {
        // `M:f()`: known if `M` is one table of the source.
        let key = Expr { at: callee.at, kind: ExprKind::Text(name.clone()) };
        let field = ExprKind::Index(Box::new(callee.clone()), Box::new(key));
        return Called::Own(names.functions(&Expr { at: callee.at, kind: field }));
    }
    match names.member(callee) {
        Some((module, name)) if library().contains(&(module.canonical(), name.clone())) => Called::Waits,
        _ => Called::Own(names.functions(callee)),
    }
}

/// What evaluating an expression does, as far as one place is concerned.
#[derive(Debug, Default, Clone)]
struct Effect {
    /// It has read the place.
    reads: bool,
    /// The first call in it that may wait, as written.
    waits: Option<String>,
    /// The place is read, and then something waits.
    torn: Option<String>,
}

struct Seeker<'a> {
    view: &'a View<'a>,
    waiting: HashSet<usize>,
    findings: &'a mut Vec<Finding>,
    function: usize,
}

impl Seeker<'_> {
    fn may_wait(&self, call: &Call) -> bool {
        match called(self.view.names, call) {
            Called::Waits => true,
            Called::Own(functions) => functions.iter().any(|function| self.waiting.contains(function)),
        }
    }

    /// Operands one after the other.
    fn sequence<'e>(&self, place: &str, operands: impl Iterator<Item = &'e Expr>) -> Effect {
        let mut whole = Effect::default();
        for operand in operands {
            let part = self.effect(place, operand);
            if whole.reads && part.waits.is_some() && whole.torn.is_none() {
                whole.torn = part.waits.clone();
            }
            whole.torn = whole.torn.or(part.torn);
            whole.waits = whole.waits.or(part.waits);
            whole.reads |= part.reads;
        }
        whole
    }

    fn effect(&self, place: &str, expr: &Expr) -> Effect {
        if path(expr).as_deref() == Some(place) {
            return Effect { reads: true, ..Effect::default() };
        }
        match &expr.kind {
            ExprKind::Paren(inner)
            | ExprKind::Unary(inner)
            | ExprKind::Not(inner)
            | ExprKind::Length(inner) => self.effect(place, inner),
            // The left side is a condition first, and what it gives is used only if the right side
            // is not evaluated.
            ExprKind::Binary(Op::Logic, left, right) => {
                let (left, right) = (self.effect(place, left), self.effect(place, right));
                Effect {
                    reads: left.reads || right.reads,
                    waits: left.waits.or(right.waits),
                    torn: left.torn.or(right.torn),
                }
            }
            ExprKind::Binary(_, left, right) => self.sequence(place, [&**left, right].into_iter()),
            ExprKind::Index(object, key) => self.sequence(place, [&**object, key].into_iter()),
            ExprKind::Call(call) => {
                let mut effect = self.sequence(place, call.arguments.iter());
                if effect.waits.is_none() && self.may_wait(call) {
                    effect.waits = Some(shown(call, self.view));
                }
                effect
            }
            ExprKind::Table(items) => self.sequence(
                place,
                items.iter().flat_map(|item| match item {
                    Item::Positional(value) | Item::Named(value) => vec![value],
                    Item::Keyed(key, value) => vec![key, value],
                }),
            ),
            _ => Effect::default(),
        }
    }

    /// Whether no other thread can reach what is assigned to: a local variable of the function
    /// itself, or a table made for one that no other function uses. (`x + f()` reads a local
    /// variable after the call.)
    fn is_private(&self, target: &Expr) -> bool {
        let Some(local) = root(target) else { return false };
        let info = &self.view.chunk.locals[local];
        info.function == self.function
            && (matches!(target.kind, ExprKind::Local(_))
                || (!info.captured && self.view.names.is_fresh_table(local)))
    }

    fn assignment(&mut self, target: &Expr, value: &Expr) {
        let private = self.is_private(target);
        if let ExprKind::Index(_, key) = &target.kind {
            let waits = self.effect("", value).waits.filter(|_| !private);
            let mut measure = Measured::default();
            measure.expr(key);
            if let (Some(table), Some(call)) = (measure.shown(self.view), waits) {
                self.findings.push(Finding {
                    at: target.at,
                    code: Code::TornUpdate,
                    message: format!(
                        "the index `#{table}` is read before `{call}` is called, which may wait: what another \
                         thread adds meanwhile is overwritten"
                    ),
                    hint: Some(format!("first `local value = {call}(...)`, then assign it")),
                });
                return;
            }
            if let Some(table) = measure.0.first().filter(|table| removes(self.view.names, table, value)) {
                let shown = text_of(table, self.view).unwrap_or_else(|| "t".to_owned());
                self.findings.push(Finding {
                    at: target.at,
                    code: Code::StaleIndex,
                    message: format!(
                        "the index `#{shown}` is read before `table.remove` makes the table shorter"
                    ),
                    hint: Some("first `local value = table.remove(...)`, then assign it".to_owned()),
                });
                return;
            }
        }
        let Some(place) = path(target).filter(|_| !private) else { return };
        if let Some(call) = self.effect(&place, value).torn {
            let shown = text_of(target, self.view).unwrap_or_else(|| "this".to_owned());
            self.findings.push(Finding {
                at: target.at,
                code: Code::TornUpdate,
                message: format!(
                    "`{shown}` is read before `{call}` is called, which may wait: what another thread makes of it \
                     meanwhile is lost"
                ),
                hint: Some(format!("first `local value = {call}(...)`, then use it")),
            });
        }
    }
}

/// Tables measured by `#`.
#[derive(Default)]
struct Measured(Vec<Expr>);

impl Measured {
    fn shown(&self, view: &View<'_>) -> Option<String> {
        self.0.first().map(|table| text_of(table, view).unwrap_or_else(|| "t".to_owned()))
    }
}

impl Visitor for Measured {
    fn function(&mut self, _: &Function) {}

    fn expr(&mut self, expr: &Expr) {
        if let ExprKind::Length(table) = &expr.kind {
            self.0.push((**table).clone());
        }
        walk_expr(self, expr);
    }
}

/// Whether `table.remove` of this very table is called in the value.
fn removes(names: &Names, table: &Expr, value: &Expr) -> bool {
    struct Look<'a>(&'a Names, String, bool);
    impl Visitor for Look<'_> {
        fn function(&mut self, _: &Function) {}
        fn expr(&mut self, expr: &Expr) {
            if let ExprKind::Call(call) = &expr.kind {
                let remove = (Module::Global("table".to_owned()), "remove".to_owned());
                self.2 |= self.0.member(&call.callee) == Some(remove)
                    && call.arguments.first().and_then(path).as_deref() == Some(&self.1);
            }
            walk_expr(self, expr);
        }
    }
    let Some(table) = path(table) else { return false };
    let mut look = Look(names, table, false);
    look.expr(value);
    look.2
}

fn shown(call: &Call, view: &View<'_>) -> String {
    let callee = text_of(&call.callee, view).unwrap_or_else(|| "a function".to_owned());
    match &call.method {
        Some((method, _)) => format!("{callee}:{method}"),
        None => callee,
    }
}

/// A variable or a chain of fields, as written.
fn text_of(expr: &Expr, view: &View<'_>) -> Option<String> {
    match &expr.bare().kind {
        ExprKind::Local(local) => Some(view.chunk.locals[*local].name.clone()),
        ExprKind::Global(name) => Some(name.clone()),
        ExprKind::Number(number) => Some(number.clone()),
        ExprKind::Index(object, key) => match key.text() {
            Some(key) => Some(format!("{}.{key}", text_of(object, view)?)),
            None => Some(format!("{}[{}]", text_of(object, view)?, text_of(key, view)?)),
        },
        _ => None,
    }
}

impl Visitor for Seeker<'_> {
    fn function(&mut self, function: &Function) {
        let outer = std::mem::replace(&mut self.function, function.number);
        walk_block(self, &function.body);
        self.function = outer;
    }

    fn stat(&mut self, stat: &Stat) {
        if let StatKind::Assign(targets, values) = &stat.kind
            && let ([target], [value]) = (&targets[..], &values[..])
        {
            self.assignment(target, value);
        }
        walk_stat(self, stat);
    }
}
