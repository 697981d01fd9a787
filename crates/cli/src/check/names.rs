//! Which module or function of a library an expression stands for, as far as the source tells:
//! `local rpc = require "splay.rpc"`, `splay.rpc`, the globals of `splay.base`.

use std::collections::HashMap;

use super::tree::{Chunk, Expr, ExprKind, Function, Local, Stat, StatKind, Visitor, walk_stat};

/// Where a module's table comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Module {
    /// `require "name"`.
    Required(String),
    /// A global that the program does not assign itself: `string`, `events`.
    Global(String),
}

impl Module {
    /// The name `require` knows it by, also for the globals that `splay.base` sets.
    pub fn canonical(&self) -> String {
        match self {
            Module::Required(name) => name.clone(),
            Module::Global(name) if ["events", "log", "misc", "socket"].contains(&name.as_str()) => {
                format!("splay.{name}")
            }
            Module::Global(name) => name.clone(),
        }
    }

    /// How a user calls it.
    pub fn shown(&self) -> &str {
        match self {
            Module::Required(name) => name.strip_prefix("splay.").unwrap_or(name),
            Module::Global(name) => name,
        }
    }
}

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A module's table.
    Module(Module),
    /// Something in a module.
    Member(Module, String),
}

/// The values that variables are known to have.
#[derive(Debug, Default)]
pub struct Names {
    /// The one value of a local variable that never changes.
    locals: HashMap<Local, Expr>,
    /// Values assigned to globals.
    globals: HashMap<String, Vec<Option<Expr>>>,
    /// Functions assigned to a variable or a field, by its path.
    functions: HashMap<String, Vec<usize>>,
}

impl Names {
    /// Reads them from a source.
    pub fn of(chunk: &Chunk) -> Names {
        let mut reader = Reader { chunk, names: Names::default() };
        super::tree::walk_block(&mut reader, &chunk.body);
        reader.names
    }

    /// What an expression stands for, if that is certain.
    pub fn meaning(&self, expr: &Expr) -> Option<Meaning> {
        self.follow(expr, 8)
    }

    fn follow(&self, expr: &Expr, steps: usize) -> Option<Meaning> {
        let steps = steps.checked_sub(1)?;
        match &expr.bare().kind {
            ExprKind::Local(local) => self.follow(self.locals.get(local)?, steps),
            ExprKind::Global(name) => match self.globals.get(name).map(Vec::as_slice) {
                None => Some(Meaning::Module(Module::Global(name.clone()))),
                // `rpc = require "splay.rpc"`; `events = events` changes nothing.
                Some([Some(value)]) if value.global() != Some(name) => self.follow(value, steps),
                Some(_) => None,
            },
            ExprKind::Index(object, key) => {
                let key = key.text()?;
                match self.follow(object, steps)? {
                    Meaning::Module(Module::Global(name)) if name == "_G" => {
                        (!self.globals.contains_key(key))
                            .then(|| Meaning::Module(Module::Global(key.to_owned())))
                    }
                    Meaning::Module(Module::Global(name)) if name == "splay" => {
                        Some(Meaning::Module(Module::Required(format!("splay.{key}"))))
                    }
                    Meaning::Module(module) => Some(Meaning::Member(module, key.to_owned())),
                    Meaning::Member(..) => None,
                }
            }
            ExprKind::Call(call) => {
                let required = required(expr)?;
                let plain = self.follow(&call.callee, steps)?;
                (plain == Meaning::Module(Module::Global("require".to_owned())))
                    .then(|| Meaning::Module(Module::Required(required.to_owned())))
            }
            _ => None,
        }
    }

    /// Module and name of a library's function that a callee is.
    pub fn member(&self, callee: &Expr) -> Option<(Module, String)> {
        match self.meaning(callee)? {
            Meaning::Member(module, name) => Some((module, name)),
            Meaning::Module(_) => None,
        }
    }

    /// The name of Lua's own global that a callee is: `print`, also as `local print = print`.
    pub fn builtin(&self, callee: &Expr) -> Option<String> {
        match self.meaning(callee)? {
            Meaning::Module(Module::Global(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether a local variable holds a table made for it.
    pub fn is_fresh_table(&self, local: Local) -> bool {
        self.locals.get(&local).is_some_and(|value| matches!(value.kind, ExprKind::Table(_)))
    }

    /// Functions of this source that a callee may be.
    pub fn functions(&self, callee: &Expr) -> Vec<usize> {
        match &callee.bare().kind {
            ExprKind::Function(function) => vec![function.number],
            _ => path(callee).and_then(|path| self.functions.get(&path).cloned()).unwrap_or_default(),
        }
    }

    fn defines(&mut self, target: &Expr, value: Option<&Expr>) {
        if let (Some(path), Some(Expr { kind: ExprKind::Function(function), .. })) =
            (path(target), value.map(Expr::bare))
        {
            self.functions.entry(path).or_default().push(function.number);
        }
    }
}

/// The text in `require "text"` and `require("text")`, whatever `require` is.
pub fn required(expr: &Expr) -> Option<&str> {
    let call = expr.call()?;
    let [name] = &call.arguments[..] else { return None };
    let callee = &call.callee.bare().kind;
    (call.method.is_none() && matches!(callee, ExprKind::Global(name) if name == "require"))
        .then(|| name.text())
        .flatten()
}

/// A name for the place that a variable or a chain of fields stands for; the same place has the
/// same one. `None`: not known without running.
pub fn path(expr: &Expr) -> Option<String> {
    match &expr.bare().kind {
        ExprKind::Local(local) => Some(format!("local {local}")),
        ExprKind::Global(name) => Some(format!("global {name}")),
        ExprKind::Number(number) => Some(number.clone()),
        ExprKind::Index(object, key) => match key.text() {
            Some(key) => Some(format!("{}.{key}", path(object)?)),
            None => Some(format!("{}[{}]", path(object)?, path(key)?)),
        },
        _ => None,
    }
}

/// The local variable at the root of a chain of fields.
pub fn root(expr: &Expr) -> Option<Local> {
    match &expr.bare().kind {
        ExprKind::Local(local) => Some(*local),
        ExprKind::Index(object, _) => root(object),
        _ => None,
    }
}

struct Reader<'a> {
    chunk: &'a Chunk,
    names: Names,
}

impl Visitor for Reader<'_> {
    fn stat(&mut self, stat: &Stat) {
        match &stat.kind {
            StatKind::Local(locals, values) => {
                for (index, &local) in locals.iter().enumerate() {
                    let value = values.get(index);
                    self.names.defines(&variable(stat, local), value);
                    if let (false, Some(value)) = (self.chunk.locals[local].reassigned, value) {
                        self.names.locals.insert(local, value.clone());
                    }
                }
            }
            StatKind::LocalFunction(local, Function { number, .. }) => {
                let path = format!("local {local}");
                self.names.functions.entry(path).or_default().push(*number);
            }
            StatKind::Assign(targets, values) => {
                for (index, target) in targets.iter().enumerate() {
                    let value = values.get(index);
                    self.names.defines(target, value);
                    if let Some(name) = target.global() {
                        self.names.globals.entry(name.to_owned()).or_default().push(value.cloned());
                    }
                }
            }
            _ => {}
        }
        walk_stat(self, stat);
    }
}

fn variable(stat: &Stat, local: Local) -> Expr {
    Expr { at: stat.at, kind: ExprKind::Local(local) }
}
