//! What one source says of names, before any library is asked: globals read and assigned, modules
//! required, members of modules used.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{Meaning, Module, Names, required};
use super::tree::{
    Call, Chunk, Expr, ExprKind, Function, Op, Place, Stat, StatKind, Visitor, walk_block, walk_expr,
    walk_stat, walk_target,
};

/// An assignment to a global.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// Its name.
    pub name: String,
    /// Where.
    pub at: Place,
    /// Inside a function.
    pub in_function: bool,
    /// The value is a function.
    pub function: bool,
}

/// The facts of a source.
#[derive(Debug, Default)]
pub struct Facts {
    /// Globals read, and where.
    pub reads: Vec<(String, Place)>,
    /// Globals that are looked at to see whether they exist.
    pub tested: BTreeSet<String>,
    /// Assignments to globals.
    pub assigned: Vec<Assigned>,
    /// Modules required by a plain `require "name"`, and where the name is.
    pub requires: Vec<(String, Place)>,
    /// Members of modules used, and where.
    pub members: Vec<(Module, String, Place)>,
    /// Members that the source assigns, or looks at to see whether they exist.
    pub own_members: BTreeSet<(String, String)>,
    /// The source reaches globals by names it computes: nothing is certain about globals.
    pub dynamic: bool,
    /// It changes where modules are looked for.
    pub own_path: bool,
    /// It ends with `return`: it is made to be required.
    pub returns: bool,
    /// Names that appear anywhere as a local variable.
    pub local_names: BTreeSet<String>,
    /// Calls of library functions: module by its canonical name, function, where.
    pub calls: BTreeMap<(String, String), Vec<Place>>,
}

impl Facts {
    /// Gathers them.
    pub fn of(chunk: &Chunk, names: &Names) -> Facts {
        let facts = Facts {
            returns: matches!(chunk.body.last(), Some(Stat { kind: StatKind::Return(values), .. }) if !values.is_empty()),
            local_names: chunk.locals.iter().map(|local| local.name.clone()).collect(),
            ..Facts::default()
        };
        let mut gatherer = Gatherer { names, facts, depth: 0 };
        walk_block(&mut gatherer, &chunk.body);
        gatherer.facts
    }

    /// Whether a global of that name is assigned somewhere.
    pub fn assigns(&self, name: &str) -> bool {
        self.assigned.iter().any(|assigned| assigned.name == name)
    }

    /// Where a function of a module is first called.
    pub fn first_call(&self, module: &str, function: &str) -> Option<Place> {
        self.calls.get(&(module.to_owned(), function.to_owned())).and_then(|places| places.first().copied())
    }
}

struct Gatherer<'a> {
    names: &'a Names,
    facts: Facts,
    depth: usize,
}

impl Gatherer<'_> {
    /// The expression is looked at to see whether it is there.
    fn tests(&mut self, expr: &Expr) {
        match &expr.bare().kind {
            ExprKind::Global(name) => {
                self.facts.tested.insert(name.clone());
            }
            ExprKind::Index(..) => {
                if let Some(Meaning::Member(module, name)) = self.names.meaning(expr) {
                    self.facts.own_members.insert((module.canonical(), name));
                }
            }
            ExprKind::Not(inner) => self.tests(inner),
            ExprKind::Binary(Op::Logic, a, b) => {
                self.tests(a);
                self.tests(b);
            }
            _ => {}
        }
    }

    fn is_globals(&self, expr: &Expr) -> bool {
        self.names.meaning(expr) == Some(Meaning::Module(Module::Global("_G".to_owned())))
    }

    fn call(&mut self, call: &Call) {
        if let Some(method) = &call.method {
            if let Some(Meaning::Module(module)) = self.names.meaning(&call.callee) {
                self.facts.members.push((module, method.0.clone(), method.1));
            }
            return;
        }
        if let Some((module, name)) = self.names.member(&call.callee) {
            let places = self.facts.calls.entry((module.canonical(), name)).or_default();
            places.push(call.callee.at);
        }
        let first = call.arguments.first();
        match self.names.builtin(&call.callee).as_deref() {
            Some("setfenv" | "module" | "loadstring" | "load" | "dofile" | "loadfile") => {
                self.facts.dynamic = true;
            }
            Some("setmetatable" | "rawset") if first.is_some_and(|table| self.is_globals(table)) => {
                self.facts.dynamic = true;
            }
            Some("type") => first.into_iter().for_each(|value| self.tests(value)),
            _ => {}
        }
    }
}

impl Visitor for Gatherer<'_> {
    fn function(&mut self, function: &Function) {
        self.depth += 1;
        walk_block(self, &function.body);
        self.depth -= 1;
    }

    fn stat(&mut self, stat: &Stat) {
        match &stat.kind {
            StatKind::While(condition, _) | StatKind::Repeat(_, condition) => self.tests(condition),
            StatKind::If(branches, _) => {
                branches.iter().for_each(|(condition, _)| self.tests(condition));
            }
            StatKind::Assign(targets, values) => {
                for (index, target) in targets.iter().enumerate() {
                    if let ExprKind::Global(name) = &target.kind {
                        let value = values.get(index).map(|value| &value.bare().kind);
                        self.facts.assigned.push(Assigned {
                            name: name.clone(),
                            at: target.at,
                            in_function: self.depth > 0,
                            function: matches!(value, Some(ExprKind::Function(_))),
                        });
                    }
                }
            }
            _ => {}
        }
        walk_stat(self, stat);
    }

    fn target(&mut self, target: &Expr) {
        if let ExprKind::Index(object, key) = &target.kind {
            match (self.is_globals(object), key.text()) {
                (true, Some(name)) => self.facts.assigned.push(Assigned {
                    name: name.to_owned(),
                    at: target.at,
                    // Whoever writes `_G.name` means a global.
                    in_function: false,
                    function: false,
                }),
                (true, None) => self.facts.dynamic = true,
                (false, _) => {}
            }
            if let Some(Meaning::Member(module, name)) = self.names.meaning(target) {
                self.facts.own_path |= module == Module::Global("package".to_owned());
                self.facts.own_members.insert((module.canonical(), name));
            }
        }
        walk_target(self, target);
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Global(name) => self.facts.reads.push((name.clone(), expr.at)),
            ExprKind::Index(object, key) => {
                if let (Some(Meaning::Module(module)), Some(name)) = (self.names.meaning(object), key.text())
                    && !self.is_globals(object)
                {
                    self.facts.members.push((module, name.to_owned(), expr.at));
                }
            }
            ExprKind::Not(inner) => self.tests(inner),
            ExprKind::Binary(Op::Logic, left, _) => self.tests(left),
            ExprKind::Binary(Op::Equality, left, right) => {
                for (value, other) in [(left, right), (right, left)] {
                    if matches!(other.bare().kind, ExprKind::Nil) {
                        self.tests(value);
                    }
                }
            }
            ExprKind::Call(call) => {
                if let Some(module) = required(expr) {
                    self.facts.requires.push((module.to_owned(), call.arguments[0].at));
                }
                self.call(call);
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}
